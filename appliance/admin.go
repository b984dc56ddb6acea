package appliance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/meta"
)

// adminName is the account that the first start makes.
const adminName = "admin"

// initAdmin makes the administrator's account when there is none, and writes
// its password beside the data. The file comes first: a crash in between costs
// nothing, since the next start finds no account and writes another.
func (a *Appliance) initAdmin(ctx context.Context) error {
	_, err := a.meta.Account(adminName)
	if !errors.Is(err, meta.ErrNotFound) {
		return err
	}
	password, hash := auth.NewSecret()
	if err := a.dir.write(passwordName, password+"\n"); err != nil {
		return err
	}
	account := meta.Account{Name: adminName, Secret: hash, Admin: true, Created: time.Now()}
	if err := a.meta.PutAccount(ctx, account); err != nil {
		return fmt.Errorf("make account %s: %w", adminName, err)
	}
	a.log.InfoContext(ctx, "account made", "name", adminName, "password_file", a.dir.join(passwordName))
	return nil
}

package appliance

import (
	"context"
	"fmt"
	"time"

	"skerry.dev/skerry/appliance/auth"
	"skerry.dev/skerry/meta"
)

// adminName is the account that the first start makes.
const adminName = "admin"

// initAdmin makes the administrator's account when there is no account at all,
// and writes its password beside the data. The file comes first: a crash in
// between costs nothing, since the next start finds no account and writes
// another. Once there is an administrator there always is one, of whatever name.
func (a *Appliance) initAdmin(ctx context.Context) error {
	all, err := a.meta.Accounts()
	if err != nil || len(all) > 0 {
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

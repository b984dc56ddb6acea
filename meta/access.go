package meta

// Access is all that decides who may come in and do what, at one moment.
type Access struct {
	Accounts []Account
	Tokens   []Token
	Bindings []Binding
}

// Access reads it in one transaction.
func (db *DB) Access() (a Access, err error) {
	err = db.view(func(tx *txn) error {
		if a.Accounts, err = accounts(tx); err != nil {
			return err
		}
		if a.Tokens, err = tokens(tx); err != nil {
			return err
		}
		a.Bindings, err = bindings(tx)
		return err
	})
	return a, err
}

// AccessGeneration rises whenever what [DB.Access] reads may have changed: before
// the command that changed it is answered, and with every installed snapshot. It
// is one atomic load. What is read after the generation is at least as new.
func (db *DB) AccessGeneration() uint64 { return db.access.Load() }

// changesAccess says whether a command is one of those that [DB.Access] shows.
func changesAccess(command []byte) bool {
	t, _, err := splitCommand(command)
	if err != nil {
		return false
	}
	switch t { //nolint:exhaustive // all others change nothing of it
	case typePutAccount, typeDeleteAccount, typeCreateToken, typeDeleteToken, typeGrant, typeRevoke:
		return true
	}
	return false
}

package object

import (
	"context"
	"io"
	"net/http"

	"github.com/distribution/distribution/v3/registry/storage/driver"
)

// absent is a backend for a store that nobody can ask.
func absent(why error) backend {
	return backend{
		StorageDriver: nowhere{why}, atomic: true,
		status: func(err error) (int, string) { return http.StatusFailedDependency, err.Error() },
	}
}

// nowhere answers everything with why.
type nowhere struct{ why error }

var _ driver.StorageDriver = nowhere{}

func (n nowhere) Name() string { return "nowhere" }

func (n nowhere) GetContent(context.Context, string) ([]byte, error) { return nil, n.why }

func (n nowhere) PutContent(context.Context, string, []byte) error { return n.why }

func (n nowhere) Reader(context.Context, string, int64) (io.ReadCloser, error) { return nil, n.why }

func (n nowhere) Writer(context.Context, string, bool) (driver.FileWriter, error) { return nil, n.why }

func (n nowhere) Stat(context.Context, string) (driver.FileInfo, error) { return nil, n.why }

func (n nowhere) List(context.Context, string) ([]string, error) { return nil, n.why }

func (n nowhere) Move(context.Context, string, string) error { return n.why }

func (n nowhere) Delete(context.Context, string) error { return n.why }

func (n nowhere) RedirectURL(*http.Request, string) (string, error) { return "", n.why }

func (n nowhere) Walk(context.Context, string, driver.WalkFn, ...func(*driver.WalkOptions)) error {
	return n.why
}

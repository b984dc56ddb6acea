package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	registrymw "github.com/distribution/distribution/v3/registry/middleware/registry"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // NewApp insists on a driver
	"github.com/sirupsen/logrus"
)

// THE SEAM. Distribution finds its parts by name in process-wide maps and logs to
// logrus' standard logger. This file is the only one that touches them: it registers
// one name, once, whose factory hands back the instance carried in the options, and
// one hook, once, which passes lines on to the logger of the latest App.

const seam = "skerry"

var register = sync.OnceValue(func() error {
	logrus.SetLevel(logrus.ErrorLevel) // the rest is what we log ourselves, or nobody wants
	logrus.SetOutput(io.Discard)
	logrus.SetFormatter(noFormat{})
	logrus.AddHook(bridge{})
	return registrymw.Register(seam, fromOptions)
})

func fromOptions(_ context.Context, _ distribution.Namespace, _ driver.StorageDriver, options map[string]any) (
	distribution.Namespace, error,
) {
	ns, ok := options["namespace"].(distribution.Namespace)
	if !ok {
		return nil, errors.New("no namespace in options")
	}
	return ns, nil
}

// newApp returns distribution's handler over ns. NewApp panics on a configuration
// it does not like; newApp returns an error.
func newApp(ctx context.Context, ns *namespace, secret string) (app http.Handler, err error) {
	if err := register(); err != nil {
		return nil, fmt.Errorf("register namespace: %w", err)
	}
	bridgeLog.Store(ns.log)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("make distribution's app: %v", p)
		}
	}()
	cfg := &configuration.Configuration{
		Storage: configuration.Storage{
			"inmemory":    configuration.Parameters{}, // nothing reaches it
			"delete":      configuration.Parameters{"enabled": true},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		},
		Middleware: map[string][]configuration.Middleware{
			"registry": {{Name: seam, Options: configuration.Parameters{"namespace": ns}}},
		},
	}
	cfg.Catalog.MaxEntries = pageMax
	cfg.HTTP.Secret = secret
	cfg.HTTP.RelativeURLs = true
	return handlers.NewApp(ctx, cfg), nil
}

// bridgeLog is where logrus' lines go.
var bridgeLog atomic.Pointer[slog.Logger]

// A bridge is the logrus hook that ends distribution's logger. App logs as errors
// every answer from 400 up, also to a HEAD for what is not there, and what led to it;
// only an answer from 500 up is one.
type bridge struct{}

// Levels implements logrus.Hook.
func (bridge) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (bridge) Fire(e *logrus.Entry) error {
	log := bridgeLog.Load()
	level := slog.LevelDebug
	status, _ := e.Data["http.response.status"].(int)
	if status >= http.StatusInternalServerError || e.Level < logrus.ErrorLevel {
		level = slog.LevelError
	}
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background() // logrus entries seldom carry one
	}
	if log.Enabled(ctx, level) {
		log.Log(ctx, level, "distribution", "text", e.Message, "status", status,
			"path", e.Data["http.request.uri"], "err", e.Data["err.detail"])
	}
	return nil
}

// noFormat saves logrus the work for an output that is thrown away.
type noFormat struct{}

// Format implements logrus.Formatter.
func (noFormat) Format(*logrus.Entry) ([]byte, error) { return nil, nil }

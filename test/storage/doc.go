// Package storage judges Skerry with its blobs in an object store: S3 as
// versitygw serves it, Google Cloud Storage as fake-gcs-server does, Azure as
// Azurite does. They run on the loopback interface, for one test each, from
// programs that servers/go.mod and azurite/package-lock.json pin and
// packaging/tools installs; PATH must lead to them. See make storage.
package storage

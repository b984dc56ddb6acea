package meta

// touches remembers which blobs clients were told of.
type touches struct{}

// Package packaging judges what people install: the packages and the image that
// "make packaging" builds below bin/packaging, twice in the same version and once
// in an older one. Its tests have the tag packaging.
//
// They install on a Debian system of their own, as root, start what was installed
// as its unit says, and push to it from outside; they run the image; they have
// lintian, rpmlint, systemd-analyze, mandoc and the shells judge the rest. There
// is no systemd as the first process there: units are read, not started by it.
package packaging

// Package packaging judges what people install: the packages and the image that
// "make packaging" builds below bin/packaging, twice in the same version and once
// in an older one. Its tests have the tag packaging.
//
// They install on a Debian system of their own, as root, start what was installed
// as its unit says, and push to it from outside; on one they start systemd as the
// first process, which starts the service, and again when it is killed or hangs.
// They run the image, and, emulated, the package for the other architecture; they
// have lintian, rpmlint, systemd-analyze, mandoc and the shells judge the rest.
package packaging

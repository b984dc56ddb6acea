package appliance

import "runtime/debug"

// stamp is the version that the linker was told where packages and images are built:
// -X skerry.dev/skerry/appliance.stamp=1.2.3.
var stamp string //nolint:gochecknoglobals // the linker can set nothing else

// Version is what the build says this is: a tag, or the commit it was made of.
func Version() string {
	if stamp != "" {
		return stamp
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

package auth

import "strings"

// An Action is something that may be done to a repository, or several at once.
type Action uint8

// The actions.
const (
	Pull       Action = 1 << iota // read manifests, blobs, tags, referrers
	Push                          // write them
	Delete                        // delete manifests, tags, blobs
	Catalog                       // see the repository's name in lists
	Administer                    // all that the control API offers; asked for without a repository

	everything = Pull | Push | Delete | Catalog | Administer
)

// A Role is a name for what may be done.
type Role struct {
	Name    string
	Actions Action
	Summary string // for people who choose one
}

// Roles lists every role that can be granted, strongest first. The names, and
// what they allow, are OpenShift's.
func Roles() []Role {
	const see = Pull | Catalog
	return []Role{
		{"cluster-admin", everything, "everything; on * also the control API"},
		{"registry-admin", see | Push | Delete, "pull, push, delete"},
		{"registry-editor", see | Push | Delete, "pull, push, delete"},
		{"registry-viewer", see, "pull"},
		{"system:image-builder", see | Push, "pull, push"},
		{"system:image-pusher", see | Push, "pull, push"},
		{"system:image-puller", see, "pull"},
		{"system:image-pruner", Catalog | Delete, "list names, delete"},
	}
}

// roleActions is what a role allows; a name that is none allows nothing.
func roleActions(name string) Action {
	for _, r := range Roles() {
		if r.Name == name {
			return r.Actions
		}
	}
	return 0
}

// roleNames are all names, for a message.
func roleNames() string {
	var names []string
	for _, r := range Roles() {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}

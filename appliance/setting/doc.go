// Package setting is how a node is told what it is: one [Table] has one entry
// for each thing that can be said, and everything follows from the entry.
//
//	{
//		Key: "grace", Live: true,
//		Value:   setting.Period(&c.Grace),
//		Meaning: "`DURATION` for which deleted content can be undeleted",
//	}
//
// is the key grace of skerry.yaml, the variable SKERRY_GRACE, the flag --grace,
// its default (what the variable held when the table was made), its validation,
// whether a reload applies it, and its row in the documentation.
//
// [Table.Resolve] reads a file, variables and flags, in rising precedence, and
// returns where each value came from and every mistake that was made, each with
// its place and, for a name that nothing has, the nearest one that something
// has. The package knows no setting by name and opens no file.
package setting

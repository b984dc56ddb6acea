// Package powerloss pulls the plug on the real binary.
//
// SIGKILL takes a process away and leaves the kernel's memory: what was written
// is there, synced or not. A power cut takes that memory, too. So the binary
// works on a [Disk], a file system in user space that keeps, for each file and
// each directory, what programs see and what a disk would hold. [Disk.Cut]
// makes of it the disk that the next start finds.
//
// # What survives
//
// POSIX promises nothing but what was synced, and that is what is sure here:
//
//   - The bytes and the size of a file, as they were at its last fsync or
//     fdatasync. Of what was written since, each page of 4 KiB is as it was at
//     that sync, or as any write since left it, or (some cuts) a mixture of two
//     such states by sectors of 512 bytes. The size is any that the file had
//     since, on its own: it may outgrow the bytes, which are zero then.
//   - The names in a directory, as they were at its last fsync. Creating, linking,
//     unlinking and renaming change directories, and no sync of a file makes its
//     name durable, neither does the sync of a directory above. A rename within
//     a directory is one change; one between two directories is two changes,
//     one in each, and both may survive, or either, or none.
//
// Which of the changes of directories survive that were not synced, is for the
// [Fate] of a cut to say. It is either a prefix of all of them, in the order in
// which they were made: what a journal leaves behind, as ext4, XFS and btrfs
// have one. Or it is a subset, chosen for each directory on its own, in which
// changes of the same name keep their order. POSIX allows subsets, and prefixes
// are subsets, but a random subset of many changes is never a prefix; the states
// that disks are really found in deserve to be tried as often as the others.
// Modes, owners and times survive as they are.
//
// [Options] can make it lenient, a disk whose every sync commits the journal, or
// a liar, which says that it synced and did not.
//
// # The tests
//
//	model_test.go  the model itself, through the kernel
//	power_test.go  power cuts under load, during starts and after kills, in sequence
//	lies_test.go   shows that they notice when a sync is left out
//
// They need the build tag crash, bin/skerry, /dev/fuse, and root or fusermount:
// make crash. The seed of a round, which a failure tells, fixes what is pushed,
// when the power goes and what survives, but not how fast the machine is.
package powerloss

package cli

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestOnlyWhatCanBeReadAgainIsUnmapped(t *testing.T) {
	const smaps = `00400000-01d40000 r-xp 00000000 fe:00 99                            /usr/bin/skerry
Rss:               17408 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me 
01d40000-03c19000 r--p 01940000 fe:00 99                            /usr/bin/skerry
Anonymous:             0 kB
03c19000-03c29000 r--p 01940000 fe:00 99                            /usr/bin/skerry
Anonymous:             4 kB
03c29000-03d15000 rw-p 03819000 fe:00 99                            /usr/bin/skerry
Anonymous:             0 kB
c000000000-c001800000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
7f0000000000-7f0000001000 r--s 00000000 fe:00 98                        /data/meta.db
Anonymous:             0 kB
`
	got := cleanMappings(strings.NewReader(smaps), "/usr/bin/skerry")
	want := []mapping{{0x400000, 0x1d40000}, {0x1d40000, 0x3c19000}}
	if !slices.Equal(got, want) {
		t.Errorf("clean mappings are %x, want %x", got, want)
	}
}

// TestProgramPagesAreReturned looks at what the process has resident of its own file.
func TestProgramPagesAreReturned(t *testing.T) {
	before := residentFile(t)
	returnProgramPages()
	if after := residentFile(t); after > before/2 {
		t.Errorf("%d kB of files are resident, before it were %d", after, before)
	}
}

// residentFile is how much of mapped files is resident, in kB.
func residentFile(t *testing.T) (kb int) {
	t.Helper()
	status, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = status.Close() }()
	lines := bufio.NewScanner(status)
	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "RssFile: %d", &kb); err == nil {
			return kb
		}
	}
	t.Fatal("the kernel does not tell what is resident")
	return 0
}

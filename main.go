// Command skerry is a container registry for places with no cloud under them.
package main

import (
	"os"

	"skerry.dev/skerry/appliance/cli"
)

func main() { os.Exit(cli.Main()) }

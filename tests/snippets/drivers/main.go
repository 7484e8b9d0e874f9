// Obeys one command a line, like drive.py.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"example.test/drive/omnilab"
)

var client omnilab.Client

func many(count int, contact string) (json.RawMessage, error) {
	var done atomic.Int64
	var group sync.WaitGroup
	for i := 0; i < count; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			if _, err := client.ListBookings(contact); err == nil {
				done.Add(1)
			}
		}()
	}
	group.Wait()
	return json.Marshal(done.Load())
}

func obey(words []string) (json.RawMessage, error) {
	switch words[0] {
	case "list":
		return client.ListBookings(words[1])
	case "cancel":
		return client.CancelBooking(words[1], words[2])
	}
	count, err := strconv.Atoi(words[1])
	if err != nil {
		return nil, err
	}
	return many(count, words[2])
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if answer, err := obey(strings.Fields(lines.Text())); err != nil {
			fmt.Println("error", err)
		} else {
			fmt.Println(string(answer))
		}
	}
}

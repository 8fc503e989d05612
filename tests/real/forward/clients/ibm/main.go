// Sends numbered records with fluent-forward-go in one mode of the protocol, and waits for each acknowledgement.
//
//	client HOST PORT COUNT message|forward|packed|compressed [KEY]
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/IBM/fluent-forward-go/fluent/client"
	"github.com/IBM/fluent-forward-go/fluent/protocol"
)

const (
	tag   = "ibm.web"
	batch = 10
)

func main() {
	count, _ := strconv.Atoi(os.Args[3])
	options := client.ConnectionOptions{
		Factory:           &client.ConnFactory{Address: os.Args[1] + ":" + os.Args[2]},
		RequireAck:        true,
		ConnectionTimeout: 30 * time.Second,
	}
	if len(os.Args) > 5 {
		options.AuthInfo.SharedKey = []byte(os.Args[5])
	}
	connection := client.New(options)
	check(connection.Connect())
	if options.AuthInfo.SharedKey != nil {
		check(connection.Handshake())
	}
	for number := 0; number < count; number += batch {
		check(send(connection, os.Args[4], number))
	}
	check(connection.Disconnect())
}

func send(connection *client.Client, mode string, first int) error {
	entries := protocol.EntryList{}
	for number := first; number < first+batch; number++ {
		if mode == "message" {
			message := protocol.NewMessageExt(tag, record(number))
			message.Timestamp = moment(number)
			if err := connection.Send(message); err != nil {
				return err
			}
		}
		entries = append(entries, protocol.EntryExt{Timestamp: moment(number), Record: record(number)})
	}
	switch mode {
	case "forward":
		return connection.SendForward(tag, entries)
	case "packed":
		return connection.SendPacked(tag, entries)
	case "compressed":
		return connection.SendCompressed(tag, entries)
	}
	return nil
}

func record(number int) map[string]string {
	return map[string]string{"log": fmt.Sprint(number)}
}

func moment(number int) protocol.EventTime {
	return protocol.EventTime{Time: time.Unix(1700000000, int64(number))}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

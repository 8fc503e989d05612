// Sends numbered records with fluent-logger-golang, and waits for the acknowledgement of each.
//
//	client HOST PORT COUNT [plain|tls]
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/fluent/fluent-logger-golang/fluent"
)

func main() {
	port, _ := strconv.Atoi(os.Args[2])
	count, _ := strconv.Atoi(os.Args[3])
	config := fluent.Config{
		FluentHost:         os.Args[1],
		FluentPort:         port,
		RequestAck:         true,
		SubSecondPrecision: true,
		WriteTimeout:       30 * time.Second,
		ReadTimeout:        30 * time.Second,
	}
	if len(os.Args) > 4 && os.Args[4] == "tls" {
		config.FluentNetwork = "tls"
		config.TlsInsecureSkipVerify = true
	}
	logger, err := fluent.New(config)
	check(err)
	for number := 0; number < count; number++ {
		moment := time.Unix(1700000000, int64(number))
		check(logger.PostWithTime("golang.web", moment, map[string]string{"log": fmt.Sprint(number)}))
	}
	check(logger.Close())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

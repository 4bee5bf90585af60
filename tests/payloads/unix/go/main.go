// A server on a unix path. At SIGTERM it closes its listener, which removes the path, and finishes its requests.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	path := os.Args[1]
	_ = os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "{\"pid\": %d, \"nonce\": %q}\n", os.Getpid(), r.URL.Query().Get("nonce"))
	})}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		<-term
		_ = server.Shutdown(context.Background())
		close(done)
	}()
	_ = server.Serve(listener)
	<-done
}

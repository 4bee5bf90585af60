// Panics as net/http and Go itself write them.
package main

import (
	"log"
	"net/http"
	"net/http/httptest"
)

type server struct{}

func (s *server) at(places []int) int { return places[3] }

func main() {
	log.Print("before")
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("in a handler") })
	web := httptest.NewServer(handler)
	if _, err := http.Get(web.URL); err == nil {
		log.Fatal("the handler answered")
	}
	web.Close()
	log.Print("between")
	go func() { select {} }()
	defer func() { panic("again") }()
	(&server{}).at(nil)
}

// A plain server without any code for workers, shared ports or signals.
// CGO_ENABLED=0 go build builds it as one static file.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
)

type reply struct {
	Pid   int    `json:"pid"`
	Slot  string `json:"slot"`
	Nonce string `json:"nonce,omitempty"`
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "3000"
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		nonce := r.URL.Query().Get("nonce")
		_ = json.NewEncoder(w).Encode(reply{os.Getpid(), os.Getenv("NODE_APP_INSTANCE"), nonce})
	})
	log.Printf("listening on %s", port)
	log.Fatal(http.ListenAndServe(":"+port, nil))
}

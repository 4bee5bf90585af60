// A server with its own metrics, which uses client_golang in the usual way, without any code for workers. /add and
// /take represent a queue of jobs.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var (
	requests = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "app_requests_total",
		Help: "Requests answered.",
	}, []string{"path"})
	duration = promauto.NewHistogram(prometheus.HistogramOpts{
		Name:    "app_request_duration_seconds",
		Help:    "Time that a request takes.",
		Buckets: []float64{0.001, 0.01, 0.1, 1, 10},
	})
	queue = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "app_queue_length",
		Help: "Jobs that wait.",
	})
)

func serve(path string, work func()) {
	counter := requests.WithLabelValues(path)
	http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		timer := prometheus.NewTimer(duration)
		work()
		timer.ObserveDuration()
		// The handler of "/" also answers all unknown paths: a series for each of them would be too many.
		counter.Inc()
		fmt.Fprintln(w, "hello")
	})
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "3000"
	}
	serve("/", func() {})
	serve("/add", queue.Inc)
	serve("/take", queue.Dec)
	http.Handle("/metrics", promhttp.Handler())
	log.Printf("listening on %s", port)
	log.Fatal(http.ListenAndServe(":"+port, nil))
}

module example.com/plain-metrics

go 1.19

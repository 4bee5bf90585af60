module unixserver

go 1.19

// An HTTP server on Asio, without any code for workers, shared ports or signals. Asio watches a socket from the moment
// it is opened, so before it is bound.
//
// Words: the ports to listen on; PORT if there are none. `late PATH` before a port waits for a byte in that named pipe
// first. `close` closes all listeners at SIGTERM and lives on.
#include <asio.hpp>

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <iostream>
#include <list>
#include <memory>
#include <string>
#include <unistd.h>

using asio::ip::tcp;

class Session : public std::enable_shared_from_this<Session> {
    tcp::socket client;
    asio::streambuf input{65536};
    std::string answer;

    // The word behind `nonce=` in the request line.
    static std::string nonce(const std::string &line) {
        auto start = line.find("nonce=");
        if (start == std::string::npos)
            return "";
        start += 6;
        return line.substr(start, line.find_first_of(" &", start) - start);
    }

    void reply(std::size_t length) {
        auto begin = asio::buffers_begin(input.data());
        std::string head(begin, begin + static_cast<std::ptrdiff_t>(length));
        input.consume(length);
        bool last = head.find("onnection: close") != std::string::npos;
        const char *slot = std::getenv("RPM_INSTANCE");
        std::string body = "{\"pid\":" + std::to_string(getpid()) + ",\"slot\":\"" + (slot ? slot : "") +
                           "\",\"nonce\":\"" + nonce(head.substr(0, head.find('\r'))) + "\"}\n";
        answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
                 (last ? "\r\nConnection: close" : "") + "\r\n\r\n" + body;
        auto self = shared_from_this();
        asio::async_write(client, asio::buffer(answer), [self, last](asio::error_code error, std::size_t) {
            if (!error && !last)
                self->read();
        });
    }

  public:
    explicit Session(tcp::socket client) : client(std::move(client)) {}

    void read() {
        auto self = shared_from_this();
        asio::async_read_until(client, input, "\r\n\r\n", [self](asio::error_code error, std::size_t length) {
            if (!error)
                self->reply(length);
        });
    }
};

static void serve(tcp::acceptor &listener) {
    listener.async_accept([&listener](asio::error_code error, tcp::socket client) {
        if (error == asio::error::operation_aborted)
            return;
        if (!error)
            std::make_shared<Session>(std::move(client))->read();
        serve(listener);
    });
}

int main(int count, char **words) {
    asio::io_context context;
    std::list<tcp::acceptor> listeners;
    auto listen = [&](const char *port) {
        auto &listener = listeners.emplace_back(context);
        listener.open(tcp::v4());
        listener.set_option(tcp::acceptor::reuse_address(true));
        listener.bind({tcp::v4(), static_cast<unsigned short>(std::atoi(port))});
        listener.listen();
        serve(listener);
        std::cout << "listening on " << port << std::endl;
    };
    asio::signal_set signals(context);
    asio::posix::stream_descriptor pipe(context);
    char line;
    for (int at = 1; at < count; at++) {
        std::string word = words[at];
        if (word == "late") {
            pipe.assign(open(words[++at], O_RDWR | O_CLOEXEC));
            asio::async_read(pipe, asio::buffer(&line, 1), [&listen, port = words[++at]](asio::error_code error, std::size_t) {
                if (!error)
                    listen(port);
            });
        } else if (word == "close") {
            signals.add(SIGTERM);
            signals.async_wait([&](asio::error_code, int) {
                for (auto &listener : listeners)
                    listener.close();
                std::cout << "closed" << std::endl;
            });
        } else {
            listen(word.c_str());
        }
    }
    if (listeners.empty()) {
        const char *port = std::getenv("PORT");
        listen(port ? port : "3000");
    }
    context.run();
}

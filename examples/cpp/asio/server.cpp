// An HTTP server on Asio, one thread.
#include <asio.hpp>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

using asio::ip::tcp;

class Session : public std::enable_shared_from_this<Session> {
    tcp::socket client;
    asio::streambuf input{65536};
    std::string answer;

    void reply(std::size_t length) {
        auto begin = asio::buffers_begin(input.data());
        std::string head(begin, begin + static_cast<std::ptrdiff_t>(length));
        input.consume(length);
        bool last = head.find("onnection: close") != std::string::npos;
        const char *worker = std::getenv("RPM_INSTANCE");
        std::string body = std::string("hello from worker ") + (worker ? worker : "") + "\n";
        answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
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
        if (!error)
            std::make_shared<Session>(std::move(client))->read();
        serve(listener);
    });
}

int main() {
    asio::io_context context;
    tcp::acceptor listener(context, {tcp::v4(), 3000});
    serve(listener);
    std::cout << "listening on 3000" << std::endl;
    context.run();
}

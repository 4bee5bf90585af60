# A plain server without a gem and without any code for workers, shared ports or signals.
require "json"
require "socket"

port = Integer(ENV["PORT"].to_s.empty? ? 3000 : ENV["PORT"])
server = TCPServer.new("0.0.0.0", port)
puts "listening on #{port}"
$stdout.flush

loop do
  Thread.new(server.accept) do |client|
    nonce = client.gets.to_s[/[?&]nonce=([^&\s]*)/, 1]
    while (line = client.gets)
      break if line.strip.empty?
    end
    body = JSON.generate({ pid: Process.pid, slot: ENV["NODE_APP_INSTANCE"], nonce: nonce }.compact) + "\n"
    client.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: #{body.bytesize}\r\n" \
                 "Connection: close\r\n\r\n#{body}")
  rescue SystemCallError, IOError
    # The client closed the connection.
  ensure
    client.close
  end
end

import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.epoll.EpollEventLoopGroup;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.socket.SocketChannel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.QueryStringDecoder;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** An HTTP server on Netty's native transport, which watches a socket before it is bound. */
public class Server {
    public static void main(String[] words) throws Exception {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "3000"));
        EpollEventLoopGroup accepting = new EpollEventLoopGroup(1);
        EpollEventLoopGroup serving = new EpollEventLoopGroup(2);
        ServerBootstrap server = new ServerBootstrap().group(accepting, serving);
        server.channel(EpollServerSocketChannel.class).childHandler(new ChannelInitializer<SocketChannel>() {
            @Override
            protected void initChannel(SocketChannel channel) {
                channel.pipeline().addLast(new HttpServerCodec(), new HttpObjectAggregator(65536), new Handler());
            }
        });
        server.bind(port).sync();
        System.out.println("listening on " + port);
    }

    static class Handler extends SimpleChannelInboundHandler<FullHttpRequest> {
        @Override
        protected void channelRead0(ChannelHandlerContext context, FullHttpRequest request) {
            List<String> nonce = new QueryStringDecoder(request.uri()).parameters().get("nonce");
            String body = "{\"pid\":" + ProcessHandle.current().pid() + ",\"slot\":\"" + System.getenv("RPM_INSTANCE")
                    + "\",\"nonce\":\"" + (nonce == null ? "" : nonce.get(0)) + "\"}\n";
            DefaultFullHttpResponse response = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.OK,
                    Unpooled.copiedBuffer(body, StandardCharsets.UTF_8));
            HttpUtil.setContentLength(response, response.content().readableBytes());
            boolean kept = HttpUtil.isKeepAlive(request);
            if (!kept) {
                response.headers().set("Connection", "close");
            }
            var written = context.writeAndFlush(response);
            if (!kept) {
                written.addListener(ChannelFutureListener.CLOSE);
            }
        }
    }
}

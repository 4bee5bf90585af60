//! An axum application. Tokio's own threads use all CPUs.
use axum::{Router, routing::get};

async fn hello() -> String {
    let worker = std::env::var("RPM_INSTANCE").unwrap_or_default();
    format!("hello from worker {worker}\n")
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/", get(hello));
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", 3000)).await?;
    println!("listening on 3000");
    axum::serve(listener, app).await
}

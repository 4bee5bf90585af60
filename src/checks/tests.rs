mod health;
mod http;
mod queue;
mod ready;

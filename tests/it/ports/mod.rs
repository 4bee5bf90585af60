//! The shared port: how a program gets its listener, and which worker gets a connection.

mod abstract_names;
mod balance;
mod by_source;
mod counted;
mod epoll_sets;
mod fallbacks;
mod families;
mod listed;
mod nobody;
pub mod opening;
mod options;
mod own_sockets;
mod programs;
mod rights;
mod second_bind;
mod spoilt;
mod stalling;
mod strangers;
mod taken;
mod udp;
mod unix;
mod unix_names;

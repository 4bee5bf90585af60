//! Node's channel.

mod log4js;

//! The layers: what each may use of the others, which packages, and which parts are pure.

/// One layer: which other layers and which packages it may use.
pub struct Layer {
    pub name: &'static str,
    pub inside: &'static [&'static str],
    pub outside: &'static [&'static str],
}

const fn layer(
    name: &'static str,
    inside: &'static [&'static str],
    outside: &'static [&'static str],
) -> Layer {
    Layer {
        name,
        inside,
        outside,
    }
}

pub const LAYERS: [Layer; 20] = [
    layer("model", &[], &[]),
    layer("policy", &["model"], &[]),
    layer("sys", &["model"], &["libc", "nix"]),
    layer(
        "config",
        &["model", "policy"],
        &[
            "chrono", "croner", "envy", "glob", "regex", "serde", "shlex",
        ],
    ),
    layer(
        "log",
        &["model", "policy", "sys"],
        &[
            "chrono",
            "flate2",
            "memchr",
            "nix",
            "regex",
            "serde",
            "serde_json",
            "tracing",
            "tracing_appender",
            "tracing_subscriber",
        ],
    ),
    layer("exposition", &[], &["flate2", "memchr"]),
    layer(
        "metrics",
        &[
            "app_metrics",
            "exposition",
            "model",
            "sys::cgroup",
            "sys::proc",
        ],
        &["prometheus"],
    ),
    layer(
        "admin",
        &["checks::client", "model"],
        &[
            "http_body_util",
            "hyper",
            "hyper_util",
            "serde",
            "serde_json",
            "tokio",
            "tracing",
        ],
    ),
    layer(
        "control",
        &["model", "sys"],
        &["serde", "serde_json", "tokio"],
    ),
    layer(
        "checks",
        &["model", "policy", "sys"],
        &["aes_gcm", "hmac", "nix", "p256", "sha2", "tokio"],
    ),
    layer(
        "node",
        &["log", "model", "policy", "ports", "sys"],
        &["memchr", "nix", "serde", "serde_json", "tracing"],
    ),
    layer("notify", &["model", "policy", "sys"], &["tokio"]),
    layer("ports", &["model", "policy", "sys"], &["nix", "tokio"]),
    layer("drain", &["model", "policy", "sys"], &[]),
    layer("triggers", &["model", "policy", "sys"], &["nix", "tokio"]),
    layer(
        "revision",
        &["model", "sys"],
        &["memchr", "nix", "serde_json"],
    ),
    layer(
        "app_metrics",
        &["checks", "exposition", "model", "sys"],
        &[
            "flate2",
            "glob",
            "http_body_util",
            "hyper",
            "hyper_util",
            "memchr",
            "nix",
            "serde_json",
            "tokio",
            "tracing",
        ],
    ),
    layer(
        "supervisor",
        &[
            "admin",
            "app_metrics",
            "checks",
            "config",
            "control",
            "drain",
            "exposition",
            "log",
            "metrics",
            "model",
            "node",
            "notify",
            "policy",
            "ports",
            "revision",
            "sys",
            "triggers",
        ],
        &[
            "nix",
            "serde",
            "serde_json",
            "tokio",
            "tracing",
            "tracing_subscriber",
        ],
    ),
    layer(
        "main",
        &[
            "admin::healthcheck",
            "config",
            "log",
            "model",
            "policy",
            "revision",
            "supervisor",
            "sys",
        ],
        &["tokio"],
    ),
    layer(
        "rpmctl",
        &[
            "config",
            "control",
            "model",
            "policy::CpuBudget",
            "policy::node",
            "sys",
        ],
        &[
            "chrono",
            "clap",
            "clap_complete",
            "json5",
            "ratatui_core",
            "saphyr_parser",
            "serde",
            "serde_json",
            "shlex",
        ],
    ),
];

/// Layers that are programs of their own: in them `crate::` is the program.
pub const PROGRAMS: [&str; 2] = ["main", "rpmctl"];

/// A module that no code outside of `config` may use.
pub const CLOSED: &str = "config::environment";

/// Files of the pure parts that may use more: gzip writes to `std::io`, tests start programs that read a page.
pub const NOT_PURE: [&str; 3] = [
    "exposition/render/answer.rs",
    "exposition/render/judges.rs",
    "exposition/render/write/tests.rs",
];

/// Parts of other layers that are pure as well.
pub const PURE_PARTS: [&str; 7] = [
    "exposition",
    "app_metrics/merge",
    "app_metrics/multiproc/file.rs",
    "app_metrics/multiproc/key.rs",
    "app_metrics/multiproc/pages.rs",
    "app_metrics/multiproc/process.rs",
    "revision/parse",
];

/// What the pure parts may use of the crate, and which packages.
pub const PURE_INSIDE: [&str; 4] = [
    "app_metrics::merge",
    "app_metrics::multiproc",
    "exposition",
    "model",
];
pub const PURE_OUTSIDE: [&str; 3] = ["glob", "memchr", "serde_json"];

/// What the pure layers may use of the standard library.
pub const PURE: [&str; 19] = [
    "std::borrow",
    "std::cmp",
    "std::collections",
    "std::error",
    "std::fmt",
    "std::hash",
    "std::iter",
    "std::mem",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
    "std::net::SocketAddrV6",
    "std::num",
    "std::ops",
    "std::str",
    "std::sync::Arc",
    "std::sync::LazyLock",
    "std::time::Duration",
];

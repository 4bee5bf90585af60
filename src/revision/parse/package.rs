//! package.json.

use serde_json::Value;

use super::text::tidy;

/// `name` and `version`; `None` if it has neither.
pub fn parse(bytes: &[u8]) -> Option<(Option<String>, Option<String>)> {
    // Editors of Windows write it, and npm accepts it.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let package: Value = serde_json::from_slice(bytes).ok()?;
    let text = |name: &str| tidy(package.get(name)?.as_str()?);
    let (name, version) = (text("name"), text("version"));
    (name.is_some() || version.is_some()).then_some((name, version))
}

//! Which kernel runs.

use nix::sys::utsname;

use crate::model::Kernel;

/// The running kernel, as it names itself (uname(2)). A personality may give it another release (UNAME26).
pub fn running() -> nix::Result<Kernel> {
    let names = utsname::uname()?;
    Ok(Kernel {
        release: names.release().to_string_lossy().into_owned(),
        version: names.version().to_string_lossy().into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_named_as_in_proc() {
        let kernel = running().unwrap();
        let said = |name| {
            let said = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap();
            said.trim_end().to_owned()
        };
        assert_eq!(kernel.release, said("osrelease"));
        assert_eq!(kernel.version, said("version"));
    }
}

//! Random numbers that nobody can guess.
#![expect(unsafe_code, reason = "getrandom(2)")]

use nix::errno::Errno;

use super::retry;

/// Random bytes. Fails with ENOSYS where the call is forbidden.
pub fn bytes<const N: usize>() -> nix::Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    let mut have = 0;
    while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
        let got = retry(|| {
            // SAFETY: the buffer is live and the length is its own (getrandom(2)).
            Errno::result(unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) })
        })?;
        have += usize::try_from(got).unwrap_or(0);
    }
    Ok(bytes)
}

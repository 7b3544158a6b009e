//! How long tests wait: for a condition, never for luck.

use std::{
    env,
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Longest wait for something that happens at once on a machine that is not emulated.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at a condition that cannot wake us.
const PAUSE: Duration = Duration::from_millis(2);

/// `$TCPLIFE_TEST_SLOW`, 1 when unset.
pub fn slowness() -> u32 {
    static SLOWNESS: OnceLock<u32> = OnceLock::new();
    *SLOWNESS
        .get_or_init(|| env::var("TCPLIFE_TEST_SLOW").ok().and_then(|v| v.parse().ok()).unwrap_or(1).max(1))
}

/// `base` as this machine needs it.
pub fn scaled(base: Duration) -> Duration {
    base * slowness()
}

/// Looks until `probe` finds something.
///
/// # Errors
///
/// `probe` fails, or finds nothing within `base` (scaled); the message then names `what`.
pub fn until<T>(what: &str, base: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + scaled(base);
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("{what}: not within {:?}", scaled(base));
        }
        std::thread::sleep(PAUSE);
    }
}

//! Ages of sockets that were there before the trace, from the kernel's own clocks.

use tcplife_common::wire::Gauge;

use super::wheel;
use crate::{state::State, timeline::Since};

/// When a full socket entered its state, as far as its own clocks tell. The peer's FIN came with an ACK (so CLOSE_WAIT
/// and `FIN_WAIT_2` began no later than the last ACK) and after all of its data; any other state began no later than
/// the oldest of the three clocks.
pub(super) fn since_gauge(state: State, gauge: &Gauge, now: u64, hz: u32) -> Since {
    let tick = wheel::tick_ns(hz);
    let jiffies = u32::try_from(gauge.jiffies & u64::from(u32::MAX)).unwrap_or(0);
    let ago = |at: u32| u64::from(jiffies.wrapping_sub(at)) * tick;
    let known = |at: u32| (at != 0).then(|| ago(at));
    let (ack, data) = (known(gauge.last_ack), known(gauge.last_data));
    // A clock reads the begin of its jiffy.
    let latest = |age: u64| now.saturating_sub(age.saturating_sub(tick)).min(now);
    match state {
        State::CloseWait | State::FinWait2 => Since::Between {
            earliest: data.map(|age| now.saturating_sub(age + tick)),
            latest: ack.map_or(now, latest),
        },
        State::Listen | State::SynSent => Since::Between { earliest: None, latest: now },
        _ => {
            let oldest = [ack, data, known(gauge.last_sent)].into_iter().flatten().max();
            Since::Between { earliest: None, latest: oldest.map_or(now, latest) }
        }
    }
}

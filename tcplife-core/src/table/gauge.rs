//! Ages of sockets that were there before the trace, from the kernel's own clocks.

use tcplife_common::wire::Gauge;

use super::wheel;
use crate::{state::State, timeline::Since};

/// When a full socket entered its state, as far as its own clocks tell. A FIN goes after all data of its side: the peer's
/// makes CLOSE_WAIT, so that began after the last data received; ours is acknowledged in `FIN_WAIT_2`, so that began
/// after the last data sent, while data can still be received in it. Both began with an ACK, so no later than the last
/// one. Any other state began no later than the oldest of the three clocks.
pub(crate) fn since_gauge(state: State, gauge: &Gauge, now: u64, hz: u32) -> Since {
    let tick = wheel::tick_ns(hz);
    let jiffies = u32::try_from(gauge.jiffies & u64::from(u32::MAX)).unwrap_or(0);
    let ago = |at: u32| u64::from(jiffies.wrapping_sub(at)) * tick;
    let known = |at: u32| (at != 0).then(|| ago(at));
    let (ack, data, sent) = (known(gauge.last_ack), known(gauge.last_data), known(gauge.last_sent));
    // A clock reads the begin of its jiffy.
    let latest = |age: u64| now.saturating_sub(age.saturating_sub(tick)).min(now);
    let after = |data: Option<u64>| Since::Between {
        earliest: data.map(|age| now.saturating_sub(age + tick)),
        latest: ack.map_or(now, latest),
    };
    match state {
        State::CloseWait => after(data),
        // tcp_finish_connect and tcp_rcv_state_process set the clock of data sent when the connection is established.
        State::FinWait2 => after(sent),
        State::Listen | State::SynSent => Since::Between { earliest: None, latest: now },
        _ => {
            let oldest = [ack, data, sent].into_iter().flatten().max();
            Since::Between { earliest: None, latest: oldest.map_or(now, latest) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1000 * SECOND;
    const HZ: u32 = 250;
    const TICK: u64 = SECOND / 250;

    /// Clocks that were read so many seconds ago; 0 for one that was never set.
    fn gauge(ack: u32, data: u32, sent: u32) -> Gauge {
        let at = |ago: u32| if ago == 0 { 0 } else { 100_000 - ago * HZ };
        let jiffies = (7 << 32) + 100_000;
        Gauge { jiffies, last_ack: at(ack), last_data: at(data), last_sent: at(sent), ..Gauge::default() }
    }

    fn between(oldest: Option<u64>, youngest: u64) -> Since {
        let earliest = oldest.map(|age| NOW - age * SECOND - TICK);
        Since::Between { earliest, latest: NOW - youngest * SECOND + TICK }
    }

    #[test]
    fn close_wait_began_after_the_last_data_received() {
        let since = |gauge| since_gauge(State::CloseWait, &gauge, NOW, HZ);
        assert_eq!(since(gauge(10, 30, 20)), between(Some(30), 10));
        assert_eq!(since(gauge(10, 30, 5)), between(Some(30), 10), "a half-closed peer is still sent to");
        assert_eq!(since(gauge(10, 0, 20)), between(None, 10));
    }

    #[test]
    fn fin_wait_2_began_after_the_last_data_sent() {
        let since = |gauge| since_gauge(State::FinWait2, &gauge, NOW, HZ);
        assert_eq!(since(gauge(10, 30, 40)), between(Some(40), 10));
        // A peer that still sends: its data says nothing of our FIN.
        assert_eq!(since(gauge(1, 1, 40)), between(Some(40), 1));
        assert_eq!(since(gauge(1, 1, 0)), between(None, 1));
    }

    #[test]
    fn others_are_at_least_as_old_as_their_oldest_clock() {
        assert_eq!(since_gauge(State::Established, &gauge(10, 30, 20), NOW, HZ), between(None, 30));
        let unknown = Since::Between { earliest: None, latest: NOW };
        assert_eq!(since_gauge(State::Established, &gauge(0, 0, 0), NOW, HZ), unknown);
        assert_eq!(since_gauge(State::Listen, &gauge(10, 30, 20), NOW, HZ), unknown);
    }
}

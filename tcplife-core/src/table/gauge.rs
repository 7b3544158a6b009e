//! Ages of sockets that were there before the trace, from the kernel's own clocks.

use tcplife_common::wire::{Found, Gauge, mark};

use super::wheel::{self, Timer};
use crate::{state::State, timeline::Since};

/// How long before the look one of the socket's clocks was set, nanoseconds, to a tick; `None` if it never was.
pub(crate) fn ago(gauge: &Gauge, at: u32, hz: u32) -> Option<u64> {
    let jiffies = u32::try_from(gauge.jiffies & u64::from(u32::MAX)).unwrap_or(0);
    let ticks = jiffies.wrapping_sub(at);
    // The look reads the jiffies first: a segment that comes in between sets a clock to a later one.
    let is_later = ticks > u32::MAX - hz;
    (at != 0).then(|| if is_later { 0 } else { u64::from(ticks) * wheel::tick_ns(hz) })
}

/// Longer than a `TIME_WAIT` (`TCP_TIMEWAIT_LEN`), as its timer rounds that up, and than the time between two retransmissions
/// (`TCP_RTO_MAX`).
const LONGEST_TIMER_NS: u64 = 122 * SECOND_NS;

/// When a full socket entered its state, as far as its own clocks tell. A FIN goes after all data of its side: the peer's
/// makes CLOSE_WAIT, so that began after the last data received; ours is acknowledged in `FIN_WAIT_2`, so that began
/// after the last data sent, while data can still be received in it. Both began with an ACK, so no later than the last
/// one. CLOSED began after all that; no later than the last segment, timer or read of data (`tcp_mstamp_refresh`), but for a
/// `TIME_WAIT` that came after the peer's FIN, and for what ended, without a segment, a socket whose SYN or FIN was being sent again.
/// Any other state began no later than the oldest of the three clocks.
pub(crate) fn since_gauge(state: State, gauge: &Gauge, now: u64, hz: u32) -> Since {
    let tick = wheel::tick_ns(hz);
    let [ack, data, sent] = [gauge.last_ack, gauge.last_data, gauge.last_sent].map(|at| ago(gauge, at, hz));
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
        State::Closed if gauge.stamp_ns != 0 => {
            let late = if gauge.marks & mark::FIN_IN != 0 || ack.is_none() { LONGEST_TIMER_NS } else { 0 };
            let latest = gauge.stamp_ns.saturating_add(late).min(now);
            let heard = [ack, data, sent].into_iter().flatten().min();
            let earliest = heard.map_or(gauge.stamp_ns, |age| now.saturating_sub(age + tick));
            Since::Between { earliest: Some(earliest.min(latest)), latest }
        }
        State::Closed | State::Listen | State::SynSent => Since::Between { earliest: None, latest: now },
        _ => {
            let oldest = [ack, data, sent].into_iter().flatten().max();
            Since::Between { earliest: None, latest: oldest.map_or(now, latest) }
        }
    }
}

/// Nanoseconds in the unit of the clock that a mini-socket takes over.
const SECOND_NS: u64 = 1_000_000_000;
/// Nanoseconds in the unit of its own clock, where it has one.
const MILLI_NS: u64 = 1_000_000;
/// By how much an ACK can be later than the newest segment whose timestamp was kept: one that comes while an ACK of ours
/// is delayed is not kept (`tcp_replace_ts_recent`), and that delay is a fifth of a second at most (`TCP_DELACK_MAX`).
const DELAYED_NS: u64 = 250_000_000;
/// By how much ticks may lag behind the clock: a virtual machine that gets no processor makes up for them later.
pub(super) const LAG_NS: u64 = 250_000_000;

/// When a mini-socket was brought into its state, rounded down to a millisecond; `None` where the kernel does not keep that.
/// `tcp_time_wait` takes the full socket's clock: the last segment, timer or read of data (`tcp_mstamp_refresh`).
/// `tcp_timewait_state_process` sets it to the time of a FIN with a timestamp; no later segment changes it.
fn stamped_at(found: &Found) -> Option<u64> {
    let (stamp, now) = (found.gauge.last_ack, found.head.time_ns / MILLI_NS);
    let ago = u32::try_from(now & u64::from(u32::MAX)).unwrap_or(0).wrapping_sub(stamp);
    // The look reads the clock first.
    let ago = if ago > u32::MAX / 2 { 0 } else { ago };
    (stamp != 0).then(|| now.saturating_sub(u64::from(ago)) * MILLI_NS)
}

/// When a mini-socket in `TIME_WAIT` was brought into it, where timestamps are in use and the kernel keeps that.
pub(super) fn entered_time_wait(found: &Found) -> Option<u64> {
    stamped_at(found).filter(|_| found.gauge.stamp_ns != 0)
}

/// When a mini-socket that a dump found entered `TIME_WAIT`, which set the timer to `TCP_TIMEWAIT_LEN` (`tcp_time_wait`,
/// `tcp_timewait_state_process`): exact to a jiffy, if no later segment has set it again; or [`entered_time_wait`].
pub(super) fn since_time_wait(found: &Found, hz: u32) -> Since {
    if let Some(at) = entered_time_wait(found) {
        return Since::Seen(at);
    }
    let (timer, whole) = (Timer::of(found), wheel::time_wait(hz));
    let left = timer.expires.saturating_sub(timer.jiffies).min(whole);
    let gone = (whole - left).saturating_mul(wheel::tick_ns(hz));
    Since::Seen(timer.at.saturating_sub(gone))
}

/// When a mini-socket that a dump found entered `FIN_WAIT_2`: no later than any of its clocks was set, or than it was without an
/// application. It may have been long before: an application that has shut down may close when the peer's last data comes, and
/// nothing tells that segment from an ACK of our FIN.
pub(crate) fn since_fin_wait_2(found: &Found, hz: u32) -> Since {
    let now = found.head.time_ns;
    let heard = match found.gauge.stamp_ns {
        heard if heard == 0 || found.gauge.fin_timeout == 0 => now,
        heard => heard.saturating_add(SECOND_NS + DELAYED_NS),
    };
    let coarse = orphaned_at(found, hz).map_or(heard, |at| at.min(heard));
    let latest = match stamped_at(found) {
        // The same moment, by a better clock.
        Some(at) if coarse.saturating_add(LAG_NS) >= at => at + MILLI_NS,
        _ => coarse,
    };
    Since::Between { earliest: None, latest: latest.min(now) }
}

/// Since when a mini-socket that a dump found is in `FIN_WAIT_2` without an application, if its timer tells. The ACK of our FIN makes
/// one of an orphan (`tcp_rcv_state_process`), with a timer of `tcp_fin_timeout`; or what is left of that after 60 s, which the full
/// socket waits for first. So the timer tells when, if the last segment came just then. If not, the application let go later or the
/// timer is another one (`TCP_LINGER2`, a slow peer): nothing is known.
pub(crate) fn orphaned_at(found: &Found, hz: u32) -> Option<u64> {
    let (timer, gauge) = (Timer::of(found), &found.gauge);
    let tick = wheel::tick_ns(hz);
    let length = orphan_timer(found, hz)?;
    let all = if u64::from(gauge.fin_timeout) == length { length } else { 2 * length };
    // It fires some time after it has expired.
    let gone = all.saturating_add(timer.jiffies).checked_sub(timer.expires)?;
    let begin = timer.at.checked_sub(gone.saturating_mul(tick))?;
    let fits = |heard: u64, within: u64| {
        (heard.saturating_sub(LAG_NS)..heard.saturating_add(within + LAG_NS)).contains(&begin)
    };
    let is_then = match stamped_at(found) {
        // A timeout of a second less (TCP_LINGER2) would fit into the seconds.
        Some(at) if all == length => fits(at, MILLI_NS),
        _ => gauge.stamp_ns != 0 && fits(gauge.stamp_ns, SECOND_NS),
    };
    is_then.then_some(begin)
}

/// How long the timer of an orphan's mini-socket in `FIN_WAIT_2` is, in ticks, if it is one of `tcp_fin_timeout` (`tcp_fin_time`).
fn orphan_timer(found: &Found, hz: u32) -> Option<u64> {
    let (timeout, whole) = (u64::from(found.gauge.fin_timeout), wheel::time_wait(hz));
    let length = if timeout <= whole { timeout } else { timeout - whole };
    (length != 0).then_some(length)
}

/// The jiffy in which the timer of a mini-socket that a dump found in `FIN_WAIT_2` was set, where [`orphaned_at`] is known.
pub(super) fn orphan_timer_set(found: &Found, hz: u32) -> Option<u64> {
    orphaned_at(found, hz)?;
    found.gauge.expires.checked_sub(orphan_timer(found, hz)?)
}

#[cfg(test)]
mod tests {
    use tcplife_common::wire::Head;

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
    fn a_clock_that_is_set_during_the_look_is_not_a_hundred_days_old() {
        let gauge = Gauge { jiffies: (7 << 32) + 1000, ..Gauge::default() };
        assert_eq!(ago(&gauge, 0, HZ), None);
        assert_eq!(ago(&gauge, 1000, HZ), Some(0));
        assert_eq!(ago(&gauge, 1001, HZ), Some(0));
        assert_eq!(ago(&gauge, 999, HZ), Some(TICK));
        assert_eq!(ago(&gauge, u32::MAX - 999, HZ), Some(2000 * TICK), "the low bits have wrapped");
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
    fn closed_began_after_the_last_segment_that_was_one_of_the_connections() {
        let since = |ago: u64, marks: u32, clocks: Gauge| {
            since_gauge(State::Closed, &Gauge { stamp_ns: NOW - ago * SECOND, marks, ..clocks }, NOW, HZ)
        };
        let between = |earliest: u64, latest: u64| Since::Between {
            earliest: Some(NOW - earliest),
            latest: NOW - latest * SECOND,
        };
        let last_ack = 10 * SECOND + TICK;
        assert_eq!(since(5, mark::KEEPALIVE, gauge(10, 30, 20)), between(last_ack, 5));
        assert_eq!(
            since(5, mark::FIN_IN, gauge(10, 30, 20)),
            between(last_ack, 0),
            "perhaps after a TIME_WAIT"
        );
        assert_eq!(since(200, mark::FIN_IN, gauge(300, 310, 310)), between(300 * SECOND + TICK, 200 - 122));
        // Never established: whatever ended it came before the next SYN.
        assert_eq!(since(200, 0, gauge(0, 0, 0)), between(200 * SECOND, 200 - 122));
        assert_eq!(
            since(0, 0, Gauge { jiffies: 100_000 - 1, ..gauge(1, 0, 0) }),
            between(SECOND, 0),
            "read late"
        );
    }

    /// What is known of a mini-socket whose namespace has a `tcp_fin_timeout` of 60 s, with `left` seconds to go.
    fn abandoned(left: u64, heard: u64, timeout: u32) -> Since {
        let hz = u64::from(HZ);
        since_fin_wait_2(&mini(heard, timeout, 100_000 + left * hz), HZ)
    }

    /// A mini-socket that is found now, in jiffy 100,000.
    fn mini(heard: u64, timeout: u32, expires: u64) -> Found {
        let fin_timeout = timeout * HZ;
        let gauge = Gauge { stamp_ns: heard, fin_timeout, expires, jiffies: 100_000, ..Gauge::default() };
        Found { head: Head { time_ns: NOW, ..Head::default() }, gauge, ..Found::default() }
    }

    /// The same, where the kernel keeps the time of the segment that brought it into its state.
    fn stamped(ago: u64, heard: u64, timeout: u32, expires: u64) -> Found {
        let mut found = mini(heard, timeout, expires);
        found.gauge.last_ack = u32::try_from((NOW - ago) / MILLI_NS).unwrap_or(0);
        found
    }

    #[test]
    fn an_orphan_is_at_least_as_old_as_its_timer_if_the_last_segment_came_with_it() {
        let by = |latest| Since::Between { earliest: None, latest };
        let heard = NOW - 3 * SECOND;
        assert_eq!(abandoned(57, heard, 60), by(heard));
        assert_eq!(abandoned(57, heard - SECOND / 2, 60), by(heard));
        // The last segment came at the begin of a second, when ticks lagged behind.
        assert_eq!(abandoned(57, heard + SECOND / 10, 60), by(heard));
        // 63 s: 3 s as a full socket, then 3 s as a mini-socket.
        assert_eq!(abandoned(1, NOW - 5 * SECOND, 63), by(NOW - 5 * SECOND));
        // Its time is up, and the timer wheel has not fired yet.
        let late = mini(NOW - 61 * SECOND, 60, 100_000 - 50);
        assert_eq!(since_fin_wait_2(&late, HZ), by(NOW - 60 * SECOND - 50 * TICK));
    }

    #[test]
    fn an_orphan_with_another_timer_is_at_least_as_old_as_the_last_segment() {
        let at_least = |age: u64| {
            let latest = NOW - age + SECOND + DELAYED_NS;
            Since::Between { earliest: None, latest }
        };
        // TCP_LINGER2 of 10 s, 5 s ago: the timer alone would say 55 s.
        assert_eq!(abandoned(5, NOW - 5 * SECOND, 60), at_least(5 * SECOND));
        // Longer than the namespace's: the timer alone would say that it begins in the future.
        assert_eq!(abandoned(100, NOW - 5 * SECOND, 60), at_least(5 * SECOND));
        // Shut down 30 s ago, let go of 3 s ago.
        assert_eq!(abandoned(57, NOW - 30 * SECOND, 60), at_least(30 * SECOND));
        // Without timestamps nothing is known.
        let unknown = Since::Between { earliest: None, latest: NOW };
        assert_eq!(abandoned(57, 0, 60), unknown);
        assert_eq!(abandoned(57, NOW - 3 * SECOND, 0), unknown);
        assert_eq!(abandoned(5, NOW - SECOND, 60), unknown, "never later than now");
    }

    #[test]
    fn a_mini_socket_is_as_old_as_the_segment_that_made_it_where_the_kernel_keeps_its_time() {
        let by = |ago| Since::Between { earliest: None, latest: NOW - ago + MILLI_NS };
        let expires = |left: u64| 100_000 + left * u64::from(HZ);
        let ago = 5 * SECOND - 3 * MILLI_NS;
        // With or without timestamps, whatever the timer says.
        for (heard, left) in [(NOW - 5 * SECOND, 55), (0, 55), (0, 57), (NOW - 5 * SECOND, 5), (0, 100)] {
            assert_eq!(since_fin_wait_2(&stamped(ago, heard, 60, expires(left)), HZ), by(ago));
        }
        assert_eq!(orphaned_at(&stamped(ago, 0, 60, expires(55)), HZ), Some(NOW - 5 * SECOND));
        assert_eq!(orphaned_at(&stamped(ago, 0, 60, expires(57)), HZ), None, "let go of later");
        // TCP_LINGER2 of a second less than tcp_fin_timeout, and the second of the last segment had just begun.
        let linger = stamped(ago, NOW - 6 * SECOND, 60, expires(54));
        assert_eq!((orphaned_at(&linger, HZ), since_fin_wait_2(&linger, HZ)), (None, by(ago)));
        // 63 s: the timer of the full socket set its clock after 3 s.
        let (heard, late) = (NOW - 5 * SECOND, stamped(2 * SECOND, NOW - 5 * SECOND, 63, expires(1)));
        assert_eq!(since_fin_wait_2(&late, HZ), Since::Between { earliest: None, latest: heard });
        assert_eq!(orphaned_at(&late, HZ), Some(heard));
        // What came 30 s ago was read 3 s ago, and then it was let go of.
        let late = stamped(3 * SECOND, NOW - 30 * SECOND, 60, expires(57));
        assert_eq!(since_fin_wait_2(&late, HZ), by(29 * SECOND - DELAYED_NS + MILLI_NS));
    }

    #[test]
    fn a_time_wait_is_as_old_as_its_fin_whatever_set_its_timer_again() {
        let seen = |ago| Since::Seen(NOW - ago);
        let expires = 100_000 + 57 * u64::from(HZ);
        assert_eq!(since_time_wait(&mini(NOW, 60, expires), HZ), seen(3 * SECOND));
        assert_eq!(since_time_wait(&stamped(5 * SECOND, NOW, 60, expires), HZ), seen(5 * SECOND));
        // Without a timestamp the FIN left the time of the segment before it.
        assert_eq!(since_time_wait(&stamped(5 * SECOND, 0, 60, expires), HZ), seen(3 * SECOND));
    }

    #[test]
    fn a_time_in_milliseconds_is_the_last_one_that_ended_like_this() {
        let at = |time_ns: u64, stamp: u32| {
            let mut found = mini(0, 60, 0);
            (found.head.time_ns, found.gauge.last_ack) = (time_ns, stamp);
            stamped_at(&found)
        };
        let wrap = (1 << 32) * MILLI_NS;
        assert_eq!(at(3 * wrap + 7 * MILLI_NS + 9, 5), Some(3 * wrap + 5 * MILLI_NS));
        assert_eq!(at(3 * wrap + 7 * MILLI_NS, u32::MAX), Some(3 * wrap - MILLI_NS));
        assert_eq!(at(3 * wrap + 7 * MILLI_NS, 9), Some(3 * wrap + 7 * MILLI_NS), "set during the look");
        assert_eq!(at(NOW, 0), None);
    }

    #[test]
    fn others_are_at_least_as_old_as_their_oldest_clock() {
        assert_eq!(since_gauge(State::Established, &gauge(10, 30, 20), NOW, HZ), between(None, 30));
        let unknown = Since::Between { earliest: None, latest: NOW };
        assert_eq!(since_gauge(State::Established, &gauge(0, 0, 0), NOW, HZ), unknown);
        assert_eq!(since_gauge(State::Listen, &gauge(10, 30, 20), NOW, HZ), unknown);
    }
}

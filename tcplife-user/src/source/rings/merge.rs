//! Several queues of records, each nearly in order of time, taken as one in which no effect comes before its cause.
//!
//! A record's time is before its place in a queue, and that is before the program that wrote it ended. So if one change is the
//! reason for another, or comes before it for the same socket, then it was in its queue, whole, before the other's time. What
//! always holds: a record is handed out only when every record with an earlier time that can be its reason has been.

use std::{cmp::Reverse, collections::BinaryHeap};

use tcplife_common::wire;

/// What is first in a queue.
pub enum First<'a> {
    /// A record, which stays there until it is taken.
    Record(&'a [u8]),
    /// One that is being written; others may be behind it.
    Unfinished,
    /// Nothing, as far as was looked.
    Nothing,
}

/// What a call of [`Merge::drain`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Records handed out.
    pub count: usize,
    /// A record is being written, and what may come after it waits.
    pub is_held: bool,
    /// So much has come meanwhile that a queue needs its reader again.
    pub is_behind: bool,
}

/// Where records wait.
pub trait Queue {
    /// Looks how many there are by now.
    fn look(&mut self);
    /// The first record.
    fn first(&mut self) -> First<'_>;
    /// Takes the first record, which was looked at.
    fn take(&mut self);
    /// For now nothing more is taken. Returns whether so much has come that nobody will say when there is more.
    fn leave(&mut self) -> bool;
}

/// A queue, and up to when all that it can ever hand out is known.
struct Lane<Q> {
    queue: Q,
    /// What is not taken yet was put there after this time.
    whole_until: u64,
}

/// Queues taken as one.
pub struct Merge<Q> {
    lanes: Vec<Lane<Q>>,
    /// The time of each lane's first record, or of what is known of one that is not finished; the earliest comes first.
    order: BinaryHeap<Reverse<(u64, usize)>>,
}

impl<Q: Queue> Merge<Q> {
    pub fn new(queues: Vec<Q>) -> Self {
        let lanes: Vec<_> = queues.into_iter().map(|queue| Lane { queue, whole_until: 0 }).collect();
        Self { order: BinaryHeap::with_capacity(lanes.len()), lanes }
    }

    /// Hands up to `limit` records to `each`, in order. `now` is the time before the call: what is newer waits, for the reason for it
    /// may be where was looked already.
    pub fn drain(&mut self, limit: usize, now: u64, mut each: impl FnMut(&[u8])) -> Drained {
        self.order.clear();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            lane.queue.look();
            if let Some(time) = lane.first_time(now) {
                self.order.push(Reverse((time, index)));
            }
        }
        let mut drained = Drained { count: 0, is_held: false, is_behind: false };
        while let Some(Reverse((time, index))) = self.order.pop()
            && time < now
            && let Some(lane) = self.lanes.get_mut(index)
        {
            let others = self.order.peek().map_or(u64::MAX, |&Reverse((time, _))| time);
            let (count, stop) = lane.drain_until(others.min(now - 1), limit - drained.count, &mut each);
            drained.count += count;
            match stop {
                Stop::Later(time) => self.order.push(Reverse((time, index))),
                Stop::Empty => lane.whole_until = now,
                Stop::Held => drained.is_held = true,
                Stop::Enough => {}
            }
            if matches!(stop, Stop::Held | Stop::Enough) {
                break;
            }
        }
        for lane in &mut self.lanes {
            drained.is_behind |= lane.queue.leave();
        }
        drained
    }
}

/// Why no more is taken from a lane.
enum Stop {
    /// Its first record is of this time, and there are earlier ones.
    Later(u64),
    /// There is nothing in it.
    Empty,
    /// A record is not finished; others may have to come after it.
    Held,
    /// As many as were asked for have been taken.
    Enough,
}

/// The time of a record; what has none is no record, and is not to wait.
fn time_of(record: &[u8]) -> u64 {
    wire::time_of(record).unwrap_or(0)
}

impl<Q: Queue> Lane<Q> {
    /// Where the lane comes in the order; nowhere if there is nothing in it at `now`.
    fn first_time(&mut self, now: u64) -> Option<u64> {
        match self.queue.first() {
            First::Record(record) => Some(time_of(record)),
            First::Unfinished => Some(self.whole_until),
            First::Nothing => {
                self.whole_until = now;
                None
            }
        }
    }

    /// Takes up to `limit` records, up to the time `until`.
    fn drain_until(&mut self, until: u64, limit: usize, each: &mut impl FnMut(&[u8])) -> (usize, Stop) {
        let mut taken = 0;
        loop {
            let time = match self.queue.first() {
                First::Nothing => return (taken, Stop::Empty),
                First::Unfinished => return (taken, Stop::Held),
                First::Record(record) => {
                    let time = time_of(record);
                    if time > until {
                        return (taken, Stop::Later(time));
                    }
                    if taken == limit {
                        return (taken, Stop::Enough);
                    }
                    each(record);
                    time
                }
            };
            self.queue.take();
            self.whole_until = self.whole_until.max(time);
            taken += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use proptest::prelude::*;

    use super::*;

    /// Programs on some CPUs, some on top of others. What they still have to do they go on with whenever a reader looks.
    #[derive(Default)]
    struct Kernel {
        clock: u64,
        /// For each CPU its records: the times of those that are finished.
        lanes: Vec<Vec<Option<u64>>>,
        /// For each CPU the programs at work, the innermost last: when each took the time, and its place.
        working: Vec<Vec<(u64, Option<usize>)>>,
        /// When each took the time and when it ended.
        ended: Vec<(u64, u64)>,
        /// On which CPU something is done next, and whether a program begins there; the last comes first.
        steps: Vec<(usize, bool)>,
    }

    impl Kernel {
        fn step(&mut self) {
            self.clock += 1;
            let Some((cpu, begins)) = self.steps.pop() else { return };
            if begins && self.working[cpu].len() < 3 {
                self.working[cpu].push((self.clock, None));
            } else {
                self.go_on(cpu);
            }
        }

        /// The innermost program takes a place, or writes its record there and ends.
        fn go_on(&mut self, cpu: usize) {
            match self.working[cpu].pop() {
                None => {}
                Some((time, None)) => {
                    self.working[cpu].push((time, Some(self.lanes[cpu].len())));
                    self.lanes[cpu].push(None);
                }
                Some((time, Some(place))) => {
                    self.lanes[cpu][place] = Some(time);
                    self.ended.push((time, self.clock));
                }
            }
        }
    }

    /// What nobody tells of any more.
    const MANY: usize = 300;

    /// A CPU's lane.
    struct Fake {
        kernel: Rc<RefCell<Kernel>>,
        cpu: usize,
        taken: usize,
        seen: usize,
        first: Vec<u8>,
    }

    impl Queue for Fake {
        fn look(&mut self) {
            let mut kernel = self.kernel.borrow_mut();
            // Enough for a cause and its effect.
            (0..8).for_each(|_| kernel.step());
            self.seen = kernel.lanes[self.cpu].len();
        }

        fn first(&mut self) -> First<'_> {
            let mut kernel = self.kernel.borrow_mut();
            kernel.step();
            if self.taken == self.seen {
                return First::Nothing;
            }
            match kernel.lanes[self.cpu][self.taken] {
                None => First::Unfinished,
                // What is no record.
                Some(0) => First::Record(&[1, 2, 3]),
                Some(time) => {
                    self.first = [[0; 8], time.to_ne_bytes()].concat();
                    First::Record(&self.first)
                }
            }
        }

        fn take(&mut self) {
            assert!(self.kernel.borrow().lanes[self.cpu][self.taken].is_some() && self.taken < self.seen);
            self.taken += 1;
        }

        fn leave(&mut self) -> bool {
            self.kernel.borrow().lanes[self.cpu].len() - self.taken >= MANY
        }
    }

    fn machine(cpus: usize) -> (Rc<RefCell<Kernel>>, Merge<Fake>) {
        let (lanes, working) = (vec![Vec::new(); cpus], vec![Vec::new(); cpus]);
        let kernel = Rc::new(RefCell::new(Kernel { lanes, working, ..Kernel::default() }));
        let lane = |cpu| Fake { kernel: Rc::clone(&kernel), cpu, taken: 0, seen: 0, first: Vec::new() };
        let merge = Merge::new((0..cpus).map(lane).collect());
        (kernel, merge)
    }

    fn put(kernel: &RefCell<Kernel>, cpu: usize, times: &[u64]) {
        kernel.borrow_mut().lanes[cpu].extend(times.iter().copied().map(Some));
    }

    /// What is handed out, and whether something is held.
    fn drain(merge: &mut Merge<Fake>, limit: usize, now: u64) -> (Vec<u64>, bool) {
        let mut times = Vec::new();
        let Drained { count, is_held, .. } = merge.drain(limit, now, |record| times.push(time_of(record)));
        assert_eq!(count, times.len());
        (times, is_held)
    }

    #[test]
    fn lanes_are_brought_together_by_time() {
        let (kernel, mut merge) = machine(3);
        put(&kernel, 0, &[1, 4, 9]);
        put(&kernel, 2, &[2, 3, 5, 7]);
        assert_eq!(drain(&mut merge, 100, 10), (vec![1, 2, 3, 4, 5, 7, 9], false));
        assert_eq!(drain(&mut merge, 100, 11), (vec![], false));
    }

    #[test]
    fn what_is_newer_than_the_look_waits() {
        let (kernel, mut merge) = machine(2);
        put(&kernel, 0, &[1, 10]);
        put(&kernel, 1, &[2, 12]);
        assert_eq!(drain(&mut merge, 100, 10), (vec![1, 2], false));
        put(&kernel, 0, &[11]);
        assert_eq!(drain(&mut merge, 100, 20), (vec![10, 11, 12], false));
    }

    #[test]
    fn no_more_than_asked_for_are_taken() {
        let (kernel, mut merge) = machine(2);
        put(&kernel, 0, &[1, 3, 5]);
        put(&kernel, 1, &[2, 4, 6]);
        assert_eq!(drain(&mut merge, 4, 10), (vec![1, 2, 3, 4], false));
        assert_eq!(drain(&mut merge, 4, 10), (vec![5, 6], false));
    }

    #[test]
    fn a_record_that_is_being_written_holds_back_what_may_come_after_it() {
        let (kernel, mut merge) = machine(2);
        // Behind the one that is being written: made by what interrupts the one who writes.
        kernel.borrow_mut().lanes[0] = vec![Some(3), None, Some(5)];
        put(&kernel, 1, &[1, 2, 6]);
        assert_eq!(drain(&mut merge, 100, 10), (vec![1, 2, 3], true), "6 may be the effect of 5");
        put(&kernel, 1, &[11]);
        assert_eq!(drain(&mut merge, 100, 20), (vec![], true));
        kernel.borrow_mut().lanes[0][1] = Some(4);
        assert_eq!(drain(&mut merge, 100, 30), (vec![4, 5, 6, 11], false));
    }

    #[test]
    fn a_lane_that_was_empty_holds_back_only_what_is_newer() {
        let (kernel, mut merge) = machine(2);
        assert_eq!(drain(&mut merge, 100, 10), (vec![], false));
        kernel.borrow_mut().lanes[0].push(None);
        put(&kernel, 1, &[9, 12]);
        assert_eq!(drain(&mut merge, 100, 20), (vec![9], true), "what is being written began after 10");
    }

    #[test]
    fn what_came_meanwhile_is_told_when_it_is_much() {
        let (kernel, mut merge) = machine(2);
        put(&kernel, 0, &[1, 2]);
        put(&kernel, 1, &(3..MANY as u64 + 2).collect::<Vec<_>>());
        assert!(!merge.drain(1, 1000, |_| {}).is_behind);
        put(&kernel, 1, &[999]);
        assert!(merge.drain(1, 1000, |_| {}).is_behind);
        assert!(!merge.drain(1, 1000, |_| {}).is_behind);
    }

    #[test]
    fn what_is_no_record_does_not_wait() {
        let (kernel, mut merge) = machine(2);
        put(&kernel, 0, &[5]);
        put(&kernel, 1, &[0]);
        assert_eq!(drain(&mut merge, 100, 10), (vec![0, 5], false));
    }

    proptest! {
        /// Whatever the programs do while the reader looks.
        #[test]
        fn no_effect_comes_before_its_cause(
            steps in proptest::collection::vec((0..3_usize, proptest::bool::weighted(0.4)), 1..400),
            reads in proptest::collection::vec((0..12, 1..6_usize), 1..100),
        ) {
            let (kernel, mut merge) = machine(3);
            kernel.borrow_mut().steps = steps;
            let mut seen = Vec::new();
            for (pause, limit) in reads {
                (0..pause).for_each(|_| kernel.borrow_mut().step());
                let now = kernel.borrow().clock;
                seen.extend(drain(&mut merge, limit, now).0);
            }
            {
                let mut kernel = kernel.borrow_mut();
                kernel.steps.clear();
                while let Some(cpu) = kernel.working.iter().position(|working| !working.is_empty()) {
                    kernel.go_on(cpu);
                }
            }
            seen.extend(drain(&mut merge, usize::MAX, u64::MAX).0);
            let ended = &kernel.borrow().ended;
            prop_assert_eq!(seen.len(), ended.len());
            let place = |time: u64| seen.iter().position(|&other| other == time);
            for &(cause, end) in ended {
                for &(effect, _) in ended.iter().filter(|&&(effect, _)| effect > end) {
                    prop_assert!(place(cause) < place(effect), "{cause} ended at {end}, before {effect}");
                }
            }
        }
    }
}

//! Scenario lines in, told lines out.

mod line;
mod told;

use tcplife_core::table::{Config, Handshakes, MiniEndSource, Table};

use line::Line;
use told::Told;

/// A table on which lines are played.
#[derive(Default)]
pub struct Stage {
    config: Config,
    table: Option<Table>,
}

impl Stage {
    /// Plays one line; returns what the table told.
    pub fn play(&mut self, text: &str) -> Result<Vec<String>, String> {
        if let Some(settings) = text.strip_prefix("config ") {
            self.configure(settings)?;
            return Ok(Vec::new());
        }
        let hz = self.config.hz;
        let table = self.table.get_or_insert_with(|| Table::new(self.config));
        let mut told = Told::default();
        if text == "totals" {
            let t = table.totals();
            assert_eq!(t.opened, t.live_total() + t.closed + t.evicted, "opened = live + closed + evicted");
            assert_eq!(usize::try_from(t.live_total()), Ok(table.len()), "counted = held");
            told.0.push(told::totals(t));
            return Ok(told.0);
        }
        match Line::parse(text, hz)? {
            Line::Record(record) => table.apply(&record, &mut told),
            Line::Tick(now) => table.tick(now, &mut told),
            Line::Finish(now) => table.finish(now, &mut told),
            Line::Owner(sock, owner) => table.owner_seen(sock, &owner),
        }
        Ok(told.0)
    }

    fn configure(&mut self, settings: &str) -> Result<(), String> {
        for setting in settings.split_whitespace() {
            match setting.split_once('=').unwrap_or((setting, "")) {
                ("capacity", n) => self.config.capacity = n.parse().map_err(|_| "capacity")?,
                ("hz", n) => self.config.hz = n.parse().map_err(|_| "hz")?,
                ("time-wait", _) => self.config.life_after_time_wait = true,
                ("mini-ends", "told") => self.config.mini_ends = MiniEndSource::Told,
                ("mini-ends", "ignored") => self.config.mini_ends = MiniEndSource::Ignored,
                ("handshakes", "told") => self.config.handshakes = Handshakes::Told,
                (other, _) => return Err(format!("no such setting: {other}")),
            }
        }
        Ok(())
    }
}

/// The first line that differs, with those before it.
pub fn difference(expected: &str, told: &str) -> String {
    let nothing = "(nothing)";
    let (expected, told): (Vec<_>, Vec<_>) = (expected.lines().collect(), told.lines().collect());
    let same = expected.iter().zip(&told).take_while(|(expected, told)| expected == told).count();
    format!(
        "{}\nexpected: {}\ntold:     {}",
        expected[..same].join("\n"),
        expected.get(same).unwrap_or(&nothing),
        told.get(same).unwrap_or(&nothing)
    )
}

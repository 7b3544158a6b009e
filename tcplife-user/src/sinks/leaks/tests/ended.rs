//! What is left of connections that are over, in the report.

use super::*;

/// Their connections were over a minute ago.
fn end(found: &mut [Found]) {
    for Found { head, gauge, .. } in found {
        (head.old, head.new, gauge.stamp_ns) = (CLOSE, CLOSE, NOW - 60 * SECOND);
    }
}

#[test]
fn descriptors_of_connections_that_are_over_are_told_by_process() {
    let mut found = found(4);
    end(&mut found);
    found[3].gauge.stamp_ns = NOW - SECOND;
    let collected = || {
        let mut collected = Collected::new(&Config::default());
        look(&mut collected, NOW - 60 * SECOND, &found[..1]);
        look(&mut collected, NOW, &found);
        collected
    };
    let text = told(text::LeaksText(collected()));
    assert!(
        text.starts_with("\\x1b[31mred\\\\[4294967295]: 3 ended_unclosed, 1 young; +3.0 sockets a minute\n")
    );
    assert!(text.contains("\n  ended_unclosed: 3, oldest at least 1m 0s, median 1m 0s\n"), "{text}");
    assert!(text.ends_with(
        "\n\n3 sockets not closed after the connection ended, in 1 owner; ss does not list them\n\
         no leaks: none of the sockets that have been in CLOSE_WAIT or FIN_WAIT_2 for 30s or longer is one\n\
         not leaks: 1 young (--all shows them)\n"
    ));
    let json = |told_of| {
        let text = told(json::LeaksJson::new(Collected { told: told_of, ..collected() }, Clock::new(0)));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let summary = &json(Suspects::Leaks)[0];
    assert_eq!(summary["verdicts"], serde_json::json!({ "ended_unclosed": 3, "young": 1 }), "no leaker");
    let leaker = &json(Suspects::All)[4];
    assert_eq!((&leaker["leaks"], &leaker["ended_unclosed"]), (&0.into(), &3.into()));
}

/// Three leak, and as many are left of connections that are over.
#[test]
fn what_leaks_comes_before_what_is_left() {
    let mut found = found(6);
    end(&mut found[..3]);
    let mut collected = Collected::new(&Config::default());
    look(&mut collected, NOW, &found);
    let text = told(text::LeaksText(collected));
    let lines = [
        "\\x1b[31mred\\\\[4294967295]: 3 unclosed, 3 ended_unclosed",
        "  unclosed: 3, oldest at least 59s, median 59s",
        "  ended_unclosed: 3, oldest at least 1m 0s, median 1m 0s",
        "    fds      1 2 3",
        "3 leaked sockets in 1 owner",
        "3 sockets not closed after the connection ended, in 1 owner; ss does not list them",
    ];
    let told: Vec<&str> = text.lines().filter(|line| lines.contains(line)).collect();
    assert_eq!(told, lines, "{text}");
}

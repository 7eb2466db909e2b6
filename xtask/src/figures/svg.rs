//! A picture as SVG: one file without links, scripts or fonts, in light and dark colours.

use std::fmt::Write as _;

use super::diagram::{Arrow, Diagram, State};
use super::geometry::{LINE, Label, Rect, Route, area, route};

/// Around everything.
const MARGIN: f64 = 20.0;
/// From the top of a line of text to its baseline.
const BASELINE: f64 = 12.5;
/// Between the box of the initial state and the dot in front of it.
const INITIAL: f64 = 34.0;
/// Radius of the dot.
const DOT: f64 = 6.0;

/// Colours follow the reader's; the font has a fixed pitch, as the widths of labels demand.
const STYLE: &str = r#"<style>
  .page { fill: #ffffff }
  .state { fill: #ddf4ff; stroke: #0969da; stroke-width: 1.5 }
  .arrow { fill: none; stroke: #59636e; stroke-width: 1.5; marker-end: url(#head) }
  .head, .initial { fill: #59636e }
  text { font: 12px "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2328 }
  .name { font-size: 13px; font-weight: bold; text-anchor: middle }
  .meaning { font-size: 11px; text-anchor: middle }
  .middle { text-anchor: middle }
  .end { text-anchor: end }
  .rule { fill: #59636e }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 }
    .state { fill: #121d2f; stroke: #4493f8 }
    .arrow { stroke: #9198a1 }
    .head, .initial { fill: #9198a1 }
    text { fill: #f0f6fc }
    .rule { fill: #9198a1 }
  }
</style>
<marker id="head" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="9" markerHeight="9"
  markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0.5 L10 5 L0 9.5 z"/></marker>
"#;

/// The whole file.
pub(super) fn draw(diagram: &Diagram) -> String {
    let routes: Vec<_> = diagram.arrows.iter().map(|arrow| route(diagram, arrow)).collect();
    let page = page(diagram, &routes);
    let Rect { x, y, width, height } = page;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{x:.1} {y:.1} {width:.1} \
         {height:.1}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">\n\
         <title>{}</title>\n{STYLE}",
        escaped(diagram.title)
    );
    rectangle(&mut text, "page", page, 8.0);
    initial(&mut text, diagram);
    for route in &routes {
        line(&mut text, route);
    }
    for (arrow, route) in diagram.arrows.iter().zip(&routes) {
        label(&mut text, arrow, &route.label);
    }
    for state in &diagram.states {
        state_box(&mut text, state);
    }
    text.push_str("</svg>\n");
    text
}

/// Everything that is drawn, with a margin.
fn page(diagram: &Diagram, routes: &[Route]) -> Rect {
    let boxes = diagram.states.iter().map(area);
    let labels = routes.iter().map(|route| route.label.area);
    let dot = area(&diagram.states[diagram.initial]);
    let dot = Rect { x: dot.x - INITIAL - DOT, ..dot };
    boxes.chain(labels).fold(dot, Rect::and).grown(MARGIN)
}

/// A dot, and an arrow to the state where everything begins.
fn initial(text: &mut String, diagram: &Diagram) {
    let Rect { x, y, height, .. } = area(&diagram.states[diagram.initial]);
    let (dot, y) = (x - INITIAL, y + height / 2.0);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "<circle class=\"initial\" cx=\"{dot:.1}\" cy=\"{y:.1}\" r=\"{DOT}\"/>");
    let _ = writeln!(text, "<path class=\"arrow\" d=\"M{dot:.1} {y:.1} L{x:.1} {y:.1}\"/>");
}

fn line(text: &mut String, Route { start, end, .. }: &Route) {
    let (x, y) = (end.x, end.y);
    let d = format!("M{:.1} {:.1} L{x:.1} {y:.1}", start.x, start.y);
    let _ = writeln!(text, "<path class=\"arrow\" d=\"{d}\"/>");
}

/// The events of an arrow, a line each.
fn label(text: &mut String, arrow: &Arrow, label: &Label) {
    if label.is_on_arrow {
        rectangle(text, "page", label.area, 0.0);
    }
    let (x, class) = (label.anchor(), label.align.class());
    for (event, y) in arrow.events.iter().zip(baselines(label.area, arrow.events.len())) {
        let (name, rule) = (escaped(&event.name), event.rule);
        let _ = writeln!(
            text,
            "<text{class} x=\"{x:.1}\" y=\"{y:.1}\">{name} \
             <tspan class=\"rule\">{rule}</tspan></text>"
        );
    }
}

fn state_box(text: &mut String, state: &State) {
    let area = area(state);
    rectangle(text, "state", area, 10.0);
    let x = area.x + area.width / 2.0;
    let count = state.name.len() + usize::from(!state.meaning.is_empty());
    let mut baselines = baselines(area, count);
    for (name, y) in state.name.iter().zip(&mut baselines) {
        let name = escaped(name);
        let _ = writeln!(text, "<text class=\"name\" x=\"{x:.1}\" y=\"{y:.1}\">{name}</text>");
    }
    if let Some(y) = baselines.next() {
        let meaning = escaped(state.meaning);
        let rule = state.rule.map(|rule| format!(" <tspan class=\"rule\">{rule}</tspan>"));
        let rule = rule.unwrap_or_default();
        let _ = writeln!(
            text,
            "<text class=\"meaning\" x=\"{x:.1}\" y=\"{y:.1}\">{meaning}{rule}</text>"
        );
    }
}

/// Where the lines of a text stand that is as high as `area`, or in its middle if it is less.
fn baselines(area: Rect, count: usize) -> impl Iterator<Item = f64> {
    let count = u8::try_from(count).unwrap_or(u8::MAX);
    let top = area.y + (area.height - f64::from(count) * LINE) / 2.0;
    (0..count).map(move |at| top + f64::from(at) * LINE + BASELINE)
}

fn rectangle(text: &mut String, class: &str, area: Rect, radius: f64) {
    let Rect { x, y, width, height } = area;
    let _ = writeln!(
        text,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\" rx=\"{radius}\"/>"
    );
}

/// Text between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;

    #[test]
    fn every_state_and_event_is_in_the_file() {
        for diagram in [tables::rings(), tables::postcopy()] {
            let text = draw(&diagram);
            assert_eq!(text.matches("<rect class=\"state\"").count(), diagram.states.len());
            // One arrow more comes from the dot.
            let arrows = text.matches("<path class=\"arrow\"").count();
            assert_eq!(arrows, diagram.arrows.len() + 1);
            for event in diagram.arrows.iter().flat_map(|arrow| &arrow.events) {
                let shown = format!(">{} <tspan class=\"rule\">{}<", event.name, event.rule);
                assert!(text.contains(&shown), "{shown}");
            }
            for name in diagram.states.iter().flat_map(|state| &state.name) {
                assert!(text.contains(&format!(">{name}</text>")), "{name}");
            }
        }
    }

    #[test]
    fn markup_in_a_name_is_text() {
        assert_eq!(escaped("a<b & c>d"), "a&lt;b &amp; c&gt;d");
    }

    #[test]
    fn text_is_in_the_middle_of_a_box() {
        let area = Rect { x: 0.0, y: 100.0, width: 10.0, height: 4.0 * LINE };
        let lines: Vec<_> = baselines(area, 2).collect();
        assert_eq!(lines, [100.0 + LINE + BASELINE, 100.0 + 2.0 * LINE + BASELINE]);
    }
}

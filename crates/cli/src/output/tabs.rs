//! Aligns cells that are ended by tabs, with Go's elastic tab stops: a column is a run of adjacent lines that all have
//! a cell there, so what stands above and below other shapes is aligned by itself.

/// Aligns text: cells at least `min_width` wide (padding included) and `padding` spaces between them.
pub fn align(text: &str, min_width: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    column(&lines, &mut widths, 0..lines.len(), 0, &|width| (width + padding).max(min_width));
    let mut out = String::with_capacity(text.len() * 2);
    for (i, (cells, widths)) in lines.iter().zip(&widths).enumerate() {
        out.push_str(if i > 0 { "\n" } else { "" });
        for (n, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            let width = widths.get(n).copied().unwrap_or(0);
            out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
        }
    }
    out
}

/// Sets the width of column `n` for each run of lines that have it, and then of the columns to its right.
fn column(
    lines: &[Vec<&str>],
    widths: &mut [Vec<usize>],
    range: std::ops::Range<usize>,
    n: usize,
    total: &dyn Fn(usize) -> usize,
) {
    let has = |i: usize| lines[i].len() > n + 1;
    let mut start = range.start;
    while start < range.end {
        if !has(start) {
            start += 1;
            continue;
        }
        let end = (start..range.end).find(|i| !has(*i)).unwrap_or(range.end);
        let widest = lines[start..end].iter().map(|cells| cells[n].chars().count()).max().unwrap_or(0);
        for line in &mut widths[start..end] {
            line[n] = total(widest);
        }
        column(lines, widths, start..end, n + 1, total);
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_aligned_as_docker_does() {
        assert_eq!(
            align("ID\tNAMES\tX\n3f2a00000000\tweb\tlong text\n", 10, 3),
            concat!("ID             NAMES     X\n", "3f2a00000000   web       long text\n")
        );
    }

    #[test]
    fn lines_of_another_shape_part_the_columns() {
        assert_eq!(align("a\tb\nlong line\nccccccccc\td", 0, 1), "a b\nlong line\nccccccccc d");
        assert_eq!(align("", 10, 3), "");
    }
}

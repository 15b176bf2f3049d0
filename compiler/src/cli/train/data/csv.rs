//! Numbers in rows, separated by commas, semicolons, tabs or spaces; a first row that holds other things is a header.

use graven_ir::{DType, Tensor};

/// The array of a csv file: f64, one row per sample.
pub(super) fn parse(bytes: &[u8]) -> Result<Tensor, String> {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
    let delimiter = [b',', b';', b'\t', b' '].into_iter().find(|byte| first.contains(byte)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader.delimiter(delimiter).has_headers(false).flexible(true).trim(csv::Trim::All);
    let (mut data, mut rows, mut columns) = (Vec::new(), 0_usize, 0_usize);
    for (line, record) in reader.from_reader(bytes).byte_records().enumerate() {
        let record = record.map_err(|error| error.to_string())?;
        let fields = record.iter().filter(|field| delimiter != b' ' || !field.is_empty());
        let numbers: Option<Vec<f64>> =
            fields.map(|field| std::str::from_utf8(field).ok()?.parse().ok()).collect();
        let Some(numbers) = numbers else {
            match line {
                0 => continue,
                _ => return Err(format!("row {} holds something that is no number", line + 1)),
            }
        };
        if rows > 0 && numbers.len() != columns {
            return Err(format!("row {} has {} numbers, the rows before {columns}", line + 1, numbers.len()));
        }
        columns = numbers.len();
        rows += 1;
        data.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    }
    let shape = if columns == 1 { vec![rows] } else { vec![rows, columns] };
    Tensor::new(DType::F64, shape, data).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_headers() {
        for text in ["a,b\n1,2.5\n-3,4e1\n", "1;2.5\n-3;40\n", "1 2.5\n-3  40", "1\t2.5\r\n-3\t40\r\n"] {
            let tensor = parse(text.as_bytes()).unwrap();
            assert_eq!(
                (tensor.shape(), tensor.to_f64s()),
                (&[2, 2][..], vec![1.0, 2.5, -3.0, 40.0]),
                "{text:?}"
            );
        }
        assert_eq!(parse(b"1\n2\n3\n").unwrap().shape(), [3]);
    }

    #[test]
    fn errors_name_the_row() {
        assert!(parse(b"1,2\n3\n").unwrap_err().contains("row 2 has 1"));
        assert!(parse(b"1,2\n3,x\n").unwrap_err().contains("row 2 holds"));
    }
}

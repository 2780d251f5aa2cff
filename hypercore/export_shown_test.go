package hypercore

// ReencodeOwnRecord reads the record of an own feed and writes it again.
func ReencodeOwnRecord(b []byte) ([]byte, error) {
	o, err := decodeOrigin(b)
	if err != nil {
		return nil, err
	}
	return o.encode(), nil
}

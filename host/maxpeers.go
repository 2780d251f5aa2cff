package host

// SetMaxPeers changes how many peers the space has at most; see WithSpaceMaxPeers.
// Peers beyond a lower limit stay until they go.
func (m *Membership) SetMaxPeers(max int) error {
	var limit int
	if err := setMaxPeers(&limit, max); err != nil {
		return err
	}
	m.n.mu.Lock()
	more := limit > m.maxPeers
	m.maxPeers = limit
	m.n.mu.Unlock()
	if more {
		m.Refresh()
	}
	return nil
}

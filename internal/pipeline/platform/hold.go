package platform

// Hold records whether messages are kept back for a reason, although nothing is
// wrong: OpenCTI shows that the connector is buffering.
func (p *Platform) Hold(why string, on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		p.held[why] = true
	} else {
		delete(p.held, why)
	}
	v := 0.0
	if len(p.held) > 0 {
		v = 1
	}
	p.Metrics.buffering.Set(v)
}

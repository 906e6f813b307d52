package inspect

// Setup is what a connector was started with. It contains no secret.
type Setup struct {
	Connector string    `json:"connector"`         // version
	Go        string    `json:"go"`                // version
	OpenCTI   string    `json:"opencti,omitempty"` // version; "" while it is not known
	File      string    `json:"file,omitempty"`    // the settings file that was read
	Settings  []Setting `json:"settings"`
	Problem   string    `json:"problem,omitempty"` // why the settings are missing
}

// Setting is one setting as in force.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`  // asterisks for a secret, "" when not set
	Origin string `json:"origin"` // a source, or "default"
}

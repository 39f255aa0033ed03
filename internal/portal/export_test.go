package portal

// SetBridgePort has pages look for the agent elsewhere, so that tests need no port
// that others may have.
func SetBridgePort(port int) { bridgePort = port }

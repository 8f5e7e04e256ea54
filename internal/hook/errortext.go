package hook

// The texts of attempts without an answer (S12). A cause may follow after a colon and a space. StatusFailure has the
// texts of answers.
const (
	TextTimeout     = "Connection timeout"
	TextRefused     = "Connection refused"
	TextReset       = "Connection reset"
	TextUnreachable = "Host unreachable"
	TextCertificate = "TLS certificate verification failed"
	TextHandshake   = "TLS handshake failed"
	TextBlocked     = "Blocked destination"
	TextTooLarge    = "Response headers too large"
	TextProtocol    = "Invalid HTTP response"
	TextOther       = "Request failed"
)

// ErrorTexts returns the class of each text, for deliveries, which are stored with the text alone.
func ErrorTexts() map[string]ErrorClass {
	return map[string]ErrorClass{
		TextTimeout: ClassTimeout, TextRefused: ClassRefused, TextReset: ClassReset, TextUnreachable: ClassUnreachable,
		TextNameFailed: ClassDNS, TextCertificate: ClassTLS, TextHandshake: ClassTLS, TextBlocked: ClassBlocked,
		TextTooLarge: ClassTooLarge, TextProtocol: ClassProtocol, TextOther: ClassOther,
	}
}

// ErrorClasses lists the classes of failed attempts.
func ErrorClasses() []ErrorClass {
	return []ErrorClass{
		ClassStatus, ClassRedirect, ClassTimeout, ClassRefused, ClassReset, ClassUnreachable, ClassDNS, ClassTLS, ClassBlocked,
		ClassTooLarge, ClassProtocol, ClassOther,
	}
}

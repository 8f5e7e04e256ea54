package hook

// OutcomeClass is the outcome of an attempt, as metrics and the log name it. The set is closed. It is finer than
// ErrorClass if there was an answer.
type OutcomeClass string

// The outcomes that have no ErrorClass of the same name.
const (
	OutcomeSuccess OutcomeClass = "success"    // 2xx
	Outcome3xx     OutcomeClass = "http_3xx"   // never followed
	Outcome4xx     OutcomeClass = "http_4xx"   // an answer
	Outcome5xx     OutcomeClass = "http_5xx"   // an answer
	OutcomeStatus  OutcomeClass = "http_other" // a status that is none of these
)

// OutcomeClasses lists every outcome.
func OutcomeClasses() []OutcomeClass {
	return []OutcomeClass{
		OutcomeSuccess, Outcome3xx, Outcome4xx, Outcome5xx, OutcomeStatus,
		OutcomeClass(ClassTimeout), OutcomeClass(ClassRefused), OutcomeClass(ClassReset), OutcomeClass(ClassUnreachable),
		OutcomeClass(ClassDNS), OutcomeClass(ClassTLS), OutcomeClass(ClassBlocked), OutcomeClass(ClassTooLarge),
		OutcomeClass(ClassProtocol), OutcomeClass(ClassOther),
	}
}

// Outcome returns the class of the attempt's outcome.
func (a *Attempt) Outcome() OutcomeClass {
	switch a.Class {
	case ClassNone:
		return OutcomeSuccess
	case ClassRedirect:
		return Outcome3xx
	case ClassStatus:
		switch a.StatusCode / 100 {
		case 4:
			return Outcome4xx
		case 5:
			return Outcome5xx
		default:
			return OutcomeStatus
		}
	case ClassTimeout, ClassRefused, ClassReset, ClassUnreachable, ClassDNS, ClassTLS, ClassBlocked, ClassTooLarge, ClassProtocol, ClassOther:
	}
	return OutcomeClass(a.Class)
}

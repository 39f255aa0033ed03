// Package scenarios holds the acceptance scripts: every story of the exchange
// between a vendor and users' machines, played by the real commands of both
// programs against a real server, on SQLite and on PostgreSQL. It has tests
// only.
//
// A script in testdata is a play in one act. The vendor's server runs, with the
// products of testdata/catalog.yaml. Machines have a home folder, traits, a
// clock, a network and a disk of their own, which the script can change; the
// programs are those that ship, only their surroundings are parameters.
//
//	machine A B                    machines with a home folder each, which trust the vendor
//	machine -stranger A            a machine that trusts nobody yet
//	licet A ARGS...                runs licet on machine A
//	central ARGS...                runs licet-central as the vendor
//	! licet A ARGS...              the same, to be refused: exit status 1
//	exits 2 licet A ARGS...        the same, with another exit status; "any" is 0 or 1
//	sell T PRODUCT...              takes an order: $T is its ticket, $T1 $T2 ... its
//	                               licenses, $T0 its number
//	upload program FILE -> FILE    carries a request to the server, and the update back
//	upload receipt FILE            carries a receipt to the server
//	together F1 -> O1 F2 -> O2     uploads several requests at the same moment
//	state LICENSE STATE            where the vendor's book has a license
//	flags A REGEXP                 why the vendor's book has A's container flagged; ! flags A for not at all
//
//	stdout, stderr REGEXP          what the last command wrote (from testscript, as are
//	                               cmp, cp, env, exists, grep, rm)
//	json DOC PATH VALUE            a value in a JSON document: stdout, stderr or a file;
//	                               PATH is such as items.0.code, items.len counts,
//	                               items.*.code is any of them
//	set VAR DOC PATH               keeps such a value as $VAR
//	unchanged A                    the last command on A left its home byte for byte as it was
//
//	clock +48h, clock +30d         time goes by, for everybody
//	clock A -2h                    somebody sets the clock of A alone; 0 sets it right
//	network A down|mute|up         no network; requests arrive and answers are lost; a good one
//	sent A FILE                    the bytes of the last request that left A
//	disk A full|ok                 a disk that takes nothing more
//	disk A dies N                  from the Nth write on the disk takes nothing more, as if the
//	                               power were cut
//	crashes A ARGS...              runs licet with the power cut at the first write, at
//	                               the second, and so on, and each time repeats it
//	traits A changed|missing|back NAME...
//	                               something about the machine differs
//	snapshot A NAME                keeps a copy of A's home folder; rollback A NAME puts it back
//	clone A B                      B is a copy of the whole machine A, hardware identity and all
//	copy A B                       B has A's home folder, on hardware of its own
//	agent A on|off                 the background agent of A
//	share [-move] A ARGS...        A shares the seats of its licenses: licet serve --listen; $A is its
//	                               address, another one than before with -move
//	cable A off|mute|on            the cable between A and license servers: pulled; calls arrive and
//	                               answers are lost; a good one
//	flipbit FILE OUT N             a copy of a file with bit N of its content flipped
//	cut FILE OUT N                 the first N bytes of a file
//	hides FILE TEXT...             none of the texts can be read in what the file carries
//	vendor NAME ARGS...            another vendor's server: $NAME is its address, $NAME_TRUST its
//	                               trust file; central @NAME, sell @NAME and upload @NAME speak to
//	                               it, and vendor -stop NAME ends it; without a
//	                               name, the one that the stage begins with, which
//	                               vendor -start starts again
//	vendor -copy NAME              a server of somebody who has copied all that the vendor's has:
//	                               database, folder, keys
//	loses [-beside] FILE           the vendor's server is lost and comes back from a back-up, at the
//	                               same address; or beside the old one, which is the vendor "old"
//	                               at $OLD from then on
//	call METHOD PATH [-key K] [-token T] [FILE]
//	                               calls the management interface itself
//	signer on|off                  a signer of the vendor's, with keys in a file: $SIGNER is its address
//	signer ARGS...                 runs licet-signer on its folder
//	receiver R                     a server that is told what happens: $R is its address
//	receiver R knows SECRET        it verifies messages with this secret too
//	receiver R answers STATUS      how it answers from now on; 204 to begin with
//	received R TYPE...             waits for so many messages, and checks that they are these
//	until REGEXP central ARGS...   repeats a command until it writes this
//	atonce N M A ARGS...           runs licet N times on A at the same moment: M of them are done,
//	                               the others refused
//	times N 'COMMAND'              repeats a command, % is 1, 2, ... N
package scenarios

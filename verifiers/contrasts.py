"""Words of two names that exclude each other, beyond the poles of one contrast (`opposites`): bacterial, allergic.

Of two names that are one but for such words, the things that they name are two: "bacterial conjunctivitis", "allergic
conjunctivitis". Words that may hold of one thing together (acute, ischaemic, recurrent) do not stand here.
"""

from itertools import combinations

# A word, and those that exclude it.
_ROWS = """
central: obstructive branch nephrogenic gestational uncal tonsillar subfalcine primary differential
cytoplasmic: perinuclear
amyotrophic: primary
bacterial: allergic aseptic cryptococcal eosinophilic chemical candidal exposure neurotrophic papillary phlyctenular
bacterial: parasitic pneumocystis acanthamoeba herpes herpetic autoimmune rheumatoid amebic protozoal
viral: allergic parasitic pneumocystis streptococcal staphylococcal gonococcal meningococcal chlamydial mycoplasmal candidal
viral: cryptococcal autoimmune alcoholic toxic papillary phlyctenular lyme rheumatic rheumatoid idiopathic amebic protozoal
fungal: reflux pill corrosive herpes cytomegalovirus exposure neurotrophic acanthamoeba streptococcal parasitic amebic
tuberculous: streptococcal gonococcal cryptococcal uremic lyme rheumatoid rheumatic idiopathic syphilitic
latent: primary secondary tertiary congenital
congenital: senile rheumatic hypertensive diabetic neovascular
ischemic: hypertensive rheumatic thyrotoxic pseudomembranous microscopic nephrotoxic hypertrophic takotsubo septic
restrictive: dilated hypertrophic takotsubo arrhythmogenic ischemic peripartum interstitial
obstructive: hypovolemic cardiogenic distributive septic anaphylactic neurogenic hepatocellular hemolytic communicating
mixed: internal external conductive sensorineural direct indirect
open: laparoscopic tension spontaneous catamenial
spontaneous: induced threatened
incomplete: threatened inevitable missed marginal frank
complete: threatened inevitable missed marginal frank
partial: marginal radical
transudative: malignant
hereditary: alcoholic
infantile: wound foodborne
"""
# Of each of these words any two exclude each other.
_PLACES = "anterior posterior superior inferior lateral medial middle horizontal"

_PAIRS = [
    *(
        (word, other)
        for row in _ROWS.strip().splitlines()
        for word, others in [row.split(": ")]
        for other in others.split()
    ),
    *combinations(_PLACES.split(), 2),
]
EXCLUSIVE = frozenset(pair for one, other in _PAIRS for pair in ((one, other), (other, one)))

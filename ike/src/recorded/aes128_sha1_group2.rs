//! `aes128-sha1-group2`, ESP `aes128-sha1`, PFS `group2`: recorded between two strongSwan 5.9.8.

use hex_literal::hex;

use super::{QuickMode, Recording, Sender::*};

pub(super) const RECORDING: Recording = Recording {
    ike: "aes128-sha1-group2",
    esp: "aes128-sha1",
    pfs: "group2",
    psk: &hex!("636f727265637420686f727365"),
    g_xy: &hex!(
        "d9b674bf7aeebf299c17bb22f7947f9b537fcbede7c9e05f9e806761049bddf48f9a618cd4345013e5a3bd16c4400fbdfb6ebb2df549f246"
        "4aceda8bbca262aa2d3be3ab2d17c0fddfded07dd20d9f0a762ff4f815b8b00776765ccd83a903409d91975f9269dd3553c62accc9c690dc"
        "0ba846365525dd75dc659450cb11a125"
    ),
    skeyid: &hex!("f4d541db0cb708250721dc5ebdb1cccaacc0829e"),
    skeyid_d: &hex!("740278a5db5effde3971292f64c1c2a6c7e5c4f5"),
    skeyid_a: &hex!("0557938fe299485f451f1fc7a6d47134ac464518"),
    skeyid_e: &hex!("fa49439cea6e21a088922f97fb41bb3976de3505"),
    ka: &hex!("fa49439cea6e21a088922f97fb41bb39"),
    first_iv: &hex!("426517fe88534683159a762f6d2feb57"),
    hash_i: &hex!("fb4e2ef094c960f22fbd3655cde4e0677b858701"),
    hash_r: &hex!("38330ffd1dd6a0b7d9c5fa096638bbcc66f06c8c"),
    last_iv: &hex!("ce330f2cbd52197cf112ba1a7ce8f842"),
    quick_modes: [
        QuickMode {
            message_id: 0x58c6faeb,
            g_qm_xy: &hex!(
                "856f80e66b68c1b62b6e303462a706f94915b4a792238ebc4a6da2b61ac1fb85606472b6fce71001e47faed417ebc73b3426cab12c71e9bb"
                "73c77d39ce452716bbaaa2c6dce4a5af4cbdb58f491ee30bde664352aa935c081aa90322e641e699a9101961ce2943505ae008b9f5e4f56e"
                "63801c454c7b4642066648cccdd98463"
            ),
            spi_initiator: 0x5a8bacc1,
            spi_responder: 0x9622cf19,
            keymat_to_initiator: &hex!("e317f0e7d0a3ea57cda96cf2ed8c7db18231abb5bce0574944ee9e1eb4bda5b1bdde78a3"),
            keymat_to_responder: &hex!("6aa563dcb76cd0255ab7e487bf04d89c23c180b544c45c9aeaac2c9adc1944e3dbf4a30f"),
        },
        QuickMode {
            message_id: 0x9aac321d,
            g_qm_xy: &hex!(
                "442ce76a5a622c7aee90b1ef853920d814f4572303ea58c835579e9bf4ba94aa7167c7b10c9102225f47df150742d1238b9e2a1b7339724f"
                "4f3b9b91f805684975356aa3bd523682eb6c3da75cfdc566d0e9122092d9acafad8d8aef39abbcc2b478fd26f21a63165185a20265e71178"
                "f61538fb223e1109a05e673cbb4277c7"
            ),
            spi_initiator: 0xe676a69b,
            spi_responder: 0xf00ba71f,
            keymat_to_initiator: &hex!("7714970f9cb7faf0c46c897fd4aa1e6a673b55a9d6015cd1babb65a50a5c31e467496e17"),
            keymat_to_responder: &hex!("66c2918836f91be06f409aca56f0ac3b04342ab84009ce6ae8806a779ca0eac71679584b"),
        },
    ],
    messages: &[
        (
            Initiator,
            &hex!(
                "cfe2999f6274f96700000000000000000110020000000000000000b40d00003800000001000000010000002c010100010000002401010000"
                "80010007800e0080800200028004000280030001800b0001800c3de00d00000c09002689dfd6b7120d000014afcad71368a1f1c96b8696fc"
                "775701000d0000184048b7d56ebce88525e7de7f00d6c2d3800000000d0000144a131c81070358455c5728f20e95452f0000001490cb8091"
                "3ebb696e086381b5ec427b1f"
            ),
        ),
        (
            Responder,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c95200110020000000000000000a00d00003800000001000000010000002c010100010000002401010000"
                "80010007800e0080800200028004000280030001800b0001800c3de00d00000c09002689dfd6b7120d000014afcad71368a1f1c96b8696fc"
                "775701000d0000184048b7d56ebce88525e7de7f00d6c2d380000000000000144a131c81070358455c5728f20e95452f"
            ),
        ),
        (
            Initiator,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c95200410020000000000000000f40a0000844d7191e2231ff3c4225ad0231d58b2d2cbfd65c50f9cd9e3"
                "bb51438fa4828838225362f3445be647679ae347631adaeb6db5160f4a5aab1c752a1c67195a30210b24b11c3a7ba137a73f3b2ef93c9d4d"
                "a22a73608ac8e6fb6d25317f1d4ebd430c40083e9c10b78d611f4c5e0c91f62874ca520249b38de79c2db06cefcd2a9f1400002425cecc00"
                "613c6e3d8708e572d5c0ac8af356fa9b620e321ba9a1936860d85f5214000018025346b4551a025b370a1c0bfa728a5466bf323000000018"
                "6ad850e689f0ccfeed0db369bc3a57b4d616ac9a"
            ),
        ),
        (
            Responder,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c95200410020000000000000000f40a0000841c118475c76134ac670ce98ceb6bdd99426d09e25ac36a32"
                "38736dc031763c858c4590ace4b7d6f7f96c5e4938d1f6e0467c2016d9334c68b47ce1824f1d3b155bbb97dbf3438a6ab751f26557e11c82"
                "039fa2e0efa32007d125309106d24a9fe768d3d0ec5f321418ecaee90dbe55ea154f892fcff768b6af0df89e048bdf9a14000024b681a5f5"
                "c640d32f8a7cdb862e3ea8b4902b25e031337d7cb2e5c236467884c514000018eed3aa4d4254a328719b2f991eafd01366f5d1e800000018"
                "6ee447d064840d74ccbbe12f13a11c7b50dfe5f0"
            ),
        ),
        (
            Initiator,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c952005100201000000000000006c84a4aa7c2b2b5ffea27dd31efe3680b29c107f518a5a8b4706079774"
                "cb48c10a46e947b0ed10ec5465fe24a2a3d919231b33e9fdadcce15024a0e8e2510789c6c191afd24d4aa8a92cda9b3c44773be2"
            ),
        ),
        (
            Responder,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c952005100201000000000000004c8ff149dc7baffbe84dccf1b3eb7b18a4e1585f2070c03659bbfdc803"
                "5d245dbbce330f2cbd52197cf112ba1a7ce8f842"
            ),
        ),
        (
            Initiator,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c95200810200158c6faeb0000013cdae5c5f72f90161991312fe91968c183cdd9332c82e1f0620525884f"
                "82198d85fde86fcf5a27d70112236ccc2036aa0b9ac8be00594b50ecb673b9e05495aaabda456896d0ef88a85270b513eed5907783bb2175"
                "636344651e9e6257afd70f2037c85f9c35dcab90d4af522483fb9d845915985d2ecaa2c2caf679dbf1e7a0a1c1e2243664a91f404e020920"
                "586542dc4f0a3822e46a5f2c81ad8f934304e6f0edcfa11ada6bfcb0da1f8a481fc77aebb1981546523d2ca2f7cf1de480fd3fe5fdc10264"
                "7f2f70bb9f2b087c6be680868798d73f59628ed23a6e4b5903e28c8abf04559dc6834b3872f5ac674a7aeb0b3bc3b7b1baddcf9da9365ae7"
                "509ed24f92605109f49cd9ad3a658f36646e23893573611ff1b55f084e0c9674cb337d32"
            ),
        ),
        (
            Responder,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c95200810200158c6faeb0000013c91a6c2f628928b24890a46681cbdad25921655d72a52909d969c37aa"
                "b840faf6875185a008d133718b52f0f05320f89c777484684700b28701c8286cd7b8c8d429f3ea1003d7de92dfe75bb175d9ab2b38c69be5"
                "fb079ef017000676812f35d3f4183b2a8b1325deb5ace83ac788e01a5831459313cbaff8c77ab23b3879a25d66f4e89a51561424120a7c88"
                "2edd1303bf571829cd2a2feab5ed1cae17a9aed6d5e3db593308a382abb820720158c613dc49b886c6d72b23779cad02e54f6da7f4680390"
                "7b4c5da40da6964aa3cc24ee6394dc363cfc3290e85ecb8d2847493af0c10962c234040fab2a12e175de041e86e1a2f446cc9d19bd31366a"
                "e403a6752a25b4d3779deeacc141f8d107d8cf5a56bf8e501a6c879a52c9cec98845fd91"
            ),
        ),
        (
            Initiator,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c95200810200158c6faeb0000003c2fc102adc9d77754a5a98d584b2f9b47a9192ff0d8935b90bb199f91"
                "35aa7c3c"
            ),
        ),
        (
            Initiator,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c9520081020019aac321d0000013ce27052c511fdbdcf710dff14d5fa05abbe500c6906071c4ee1ce8962"
                "d24bdb2a3bfc4be4e22a87649e451fd5f40796859098fa17160a0b26a5ab19f596fe0661b0959ea5255e61a60d1bc2115d726009f6fd2bac"
                "901d373efbffb55f074a6a19331b024e3aac758718e9ab51c60cc6a7831c9ab4557424057d669b5c457d77da6e1d867a0995dd9019562226"
                "c053ea47d699ba549ae30ef4396fc1d158fdf735a78d5434a68b9b6c657a8eba30cc8f42ee7f1642e5d57f8a868c99031c86e2cab2e044cf"
                "b0fa385c1e3dd65fd8be5a7954da9ea112b010da693f530fe98a0f9ce70a772317bad00cc456fa4380613b9ccd33f405d2b30b09c56bb966"
                "3bb3b42b7f4ebd497734a4190b634a4fd5023def4f933bad218d830000fb0cc6102ea49d"
            ),
        ),
        (
            Responder,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c9520081020019aac321d0000013c6c368729a3780a65939fd13d77540839c5b709aa57664ac145e145a3"
                "5b5b1f74b5ba76022cadee79d6c3a6bf4d1fe598cbb6a776d13d3041698244db8e09db1672e7d469b3b13859ca15e9acdff684f348961408"
                "d86dac88b12c5c5de3d20b93590282c7dba5e4ddfa6848e42d647ac8262ee0291f1d1ad155dd499cada802a5eda03e1f357abd2d79afdd98"
                "df91bc6fea88151bb7c47b212f7edb34ecdcba8fcd8d4f5da9b6d18b27d118ca78e1381e9aaadd207d39a81f0229f5a880e4136fb015105d"
                "332f0b7a61389d7c0e6664335a5c9f7479dae2bc056ca767769a4e119fd12760821079cc4b8a4eb8325df5c72e6a2e63ae8d2c9b67b26e55"
                "8b0c7570468538c5fedc04768d11ea5abccc6b4836d5887b1efd1d65fb70b9129d6cef43"
            ),
        ),
        (
            Initiator,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c9520081020019aac321d0000003cecd35f81b3a153c3da8709d79eb1dcd0afb355d188c9e8171e99bf46"
                "29730018"
            ),
        ),
        (
            Initiator,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c952008100501c650f4e20000004c51fdd689946fbfe14ee6d49bb7196c9bfb36a8e2f9ef04f6df993a6d"
                "cf6bc8c79e37b4c39b5d02de795148e05b141d33"
            ),
        ),
        (
            Initiator,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c95200810050198f22a9e0000004c391b1621013c078c5f48d9bbfa7d413e3431a8dab27d6286c0dff595"
                "094a8e9ff547dd11a0f7f4257409e71edadc868d"
            ),
        ),
        (
            Initiator,
            &hex!(
                "cfe2999f6274f967b2207d3ee44c952008100501e8e01c790000005c68edbca4414bd767b918ee875bedfb5cd7df0705c381e20ae85a7cbb"
                "54e361925fb095f78f9696445045d112343c5600431e19890c3ec1f36c17ccf909ff956b"
            ),
        ),
    ],
};
